package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

// As many connections are made at once: what a listening socket's queue takes without loss.
const opening = 64

func open(to server, paths []string) error {
	address, configuration, err := place(to)
	if err != nil {
		return err
	}
	turns := make(chan struct{}, opening)
	failed := make(chan error, len(paths))
	var opened sync.WaitGroup
	for number, path := range paths {
		turns <- struct{}{}
		opened.Go(func() {
			defer func() { <-turns }()
			lines, err := watch(address, configuration, to.Headers, path)
			if err != nil {
				failed <- fmt.Errorf("watch of %s: %w", path, err)
				return
			}
			go listen(number, path, lines)
		})
	}
	opened.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

func place(of server) (string, *tls.Config, error) {
	parsed, err := url.Parse(of.URL)
	if err != nil || of.Authority == "" {
		return parsed.Host, nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(of.Authority)) {
		return "", nil, fmt.Errorf("no certificate in the authority given for %s", of.URL)
	}
	return parsed.Host, &tls.Config{RootCAs: pool, ServerName: parsed.Hostname()}, nil
}

// watch asks for a stream and returns what its lines are read from, once the answer has begun.
func watch(address string, configuration *tls.Config, headers map[string]string, path string) (*bufio.Reader, error) {
	connection, err := net.DialTimeout("tcp", address, 30*time.Second)
	if err != nil {
		return nil, err
	}
	if configuration != nil {
		connection = tls.Client(connection, configuration)
	}
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nAccept: application/json\r\nUser-Agent: bench\r\n", path, address)
	for name, value := range headers {
		request += name + ": " + value + "\r\n"
	}
	if _, err := io.WriteString(connection, request+"\r\n"); err != nil {
		return nil, err
	}
	buffered := bufio.NewReaderSize(connection, 8<<10)
	answer, err := http.ReadResponse(buffered, nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 500))
		return nil, fmt.Errorf("%s: %s", answer.Status, body)
	}
	return bufio.NewReaderSize(httputil.NewChunkedReader(buffered), 8<<10), nil
}

// listen takes lines until the stream ends, which ends the program: a watch that is gone measures nothing.
func listen(number int, path string, lines *bufio.Reader) {
	expected, in := 0, 0
	for {
		size, event, round, err := line(lines)
		if err != nil {
			fail(fmt.Errorf("the watch of %s ended: %w", path, err))
		}
		to := present.Load()
		if round == 0 || to == nil || round != to.number {
			continue
		}
		to.frames.Add(1)
		to.bytes.Add(int64(size))
		to.heard(number, event, since(), &in, &expected)
	}
}

// line reads one line, and which event of which round it tells; round 0 for any other.
func line(lines *bufio.Reader) (size, event, round int, err error) {
	var kept []byte // of a line longer than the buffer
	part, err := lines.ReadSlice('\n')
	for err == bufio.ErrBufferFull {
		kept = append(kept, part...)
		part, err = lines.ReadSlice('\n')
	}
	if err != nil {
		return 0, 0, 0, err
	}
	if kept != nil {
		part = append(kept, part...)
	}
	at := bytes.Index(part, marker)
	if at < 0 {
		return len(part), 0, 0, nil
	}
	event, round, err = marked(part[at+len(marker):])
	return len(part), event, round, err
}
