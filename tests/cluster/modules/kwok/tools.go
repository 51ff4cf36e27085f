//go:build tools

// Package tools names the program that is built from this module: its Kubernetes libraries are of another version.
package tools

import _ "sigs.k8s.io/kwok/cmd/kwok"
