"""One page of each kind that the demo cluster has, by a name that says which."""

from __future__ import annotations

# Which one fails, and when, is up to the demo's life; this one is there always.
FAILING = "/resources/deployments/platform/gateway"
PAGES = {
    "overview": "/",
    "deployments": "/resources/deployments",
    "deployments-wide": "/resources/deployments?wide=true&sort=-Ready&namespace=shop",
    "deployment": "/resources/deployments/shop/web",
    "deployment-failing": FAILING,
    "pods": "/resources/pods?namespace=shop",
    "crds": "/resources/crds",
    "crd": "/resources/crds/previewenvironments.platform9.com",
    "custom-resources": "/resources/previewenvironments",
    "custom-resource": "/resources/previewenvironments/preview/web-main",
    "events": "/resources/events",
    "versions": "/versions",
    "versions-of-replica-sets": "/versions?resource=replicasets",
    "api": "/-/docs",
    "not-found": "/resources/deploymints",
    "embedded": "/embed/resources/deployments?accent=7a3cc2",
}
