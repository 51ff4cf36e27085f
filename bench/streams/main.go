// streams holds many watches of a Kubernetes API open, writes to the API server behind it at a steady rate, and says
// what arrived when. Driven by bench/streams.py: one JSON document a line on standard input, one on standard output.
//
// The first line says whom to watch and how; the answer tells that all are open. Each further line is a round of
// writes: the answer tells how many events came, whether each watch heard each of its events once and in order, and how
// long they took from the moment the write was sent. It ends with its input.
//
// A write puts "<number> <round>" into an annotation, by which a watch knows which event it is.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// As many connections are made at once: what a listening socket's queue takes without loss.
const opening = 64

// A round ends this long after its last write, whatever has come.
const patience = 20 * time.Second

// What the annotation starts with: see bench/streams.py, which names it.
var marker = []byte(`"bench.kubemirror/event":"`)

type server struct {
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Authority string            `json:"authority"` // PEM; "" for plain HTTP
}

type watches struct {
	Path  string `json:"path"`  // with its query; {} is the watch's number
	Count int    `json:"count"` // so many of them
}

type order struct {
	Watched server    `json:"watched"`
	Written server    `json:"written"`
	Watches []watches `json:"watches"`
}

type round struct {
	Events   int     `json:"events"`
	Rate     float64 `json:"rate"`     // a second
	Path     string  `json:"path"`     // of the object that is patched
	Padding  int     `json:"padding"`  // bytes added to it
	Expected int     `json:"expected"` // watches that hear each event
}

type told struct {
	Delivered int     `json:"delivered"`
	Wrong     int     `json:"wrong"` // events heard twice, or out of order, or after one was left out
	Bytes     int64   `json:"bytes"` // of lines
	P50       float64 `json:"p50"`   // milliseconds, as the next two
	P99       float64 `json:"p99"`
	Max       float64 `json:"max"`
	Seconds   float64 `json:"seconds"` // from the first write to the last delivery
}

// hearing is what the watches of a round write to.
type hearing struct {
	number    int
	sent      []atomic.Int64 // by event, nanoseconds since the program's start
	delivered atomic.Int64
	wrong     atomic.Int64
	bytes     atomic.Int64
	last      atomic.Int64
	arrived   [][]delivery // by watch; read when the round is over
	all       chan struct{}
	expected  int64
}

type delivery struct {
	event int
	at    int64
}

var (
	began   = time.Now()
	present atomic.Pointer[hearing]
)

func since() int64 { return int64(time.Since(began)) }

func main() {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := json.NewEncoder(os.Stdout)
	var asked order
	read(input, &asked)
	count, err := open(asked)
	if err != nil {
		fail(err)
	}
	output.Encode(map[string]int{"open": count})
	client := written(asked.Written)
	for number := 1; ; number++ {
		var next round
		if !read(input, &next) {
			return
		}
		result, err := run(client, asked.Written, number, next, count)
		if err != nil {
			fail(err)
		}
		output.Encode(result)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func read(input *bufio.Reader, into any) bool {
	line, err := input.ReadBytes('\n')
	if err == io.EOF && len(line) == 0 {
		return false
	}
	if err := json.Unmarshal(line, into); err != nil {
		fail(err)
	}
	return true
}

// -- watching ----------------------------------------------------------------------------------------------

func open(asked order) (int, error) {
	var paths []string
	for _, group := range asked.Watches {
		for number := range group.Count {
			paths = append(paths, strings.ReplaceAll(group.Path, "{}", strconv.Itoa(number)))
		}
	}
	address, configuration, err := place(asked.Watched)
	if err != nil {
		return 0, err
	}
	turns := make(chan struct{}, opening)
	failed := make(chan error, len(paths))
	var opened sync.WaitGroup
	for number, path := range paths {
		turns <- struct{}{}
		opened.Go(func() {
			defer func() { <-turns }()
			lines, err := watch(address, configuration, asked.Watched.Headers, path)
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
		return 0, err
	default:
		return len(paths), nil
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
		at := since()
		if in != round {
			in, expected = round, 0
		}
		if event != expected {
			to.wrong.Add(1)
		}
		expected = event + 1
		to.arrived[number] = append(to.arrived[number], delivery{event, at})
		to.bytes.Add(int64(size))
		to.last.Store(at)
		if to.delivered.Add(1) == to.expected {
			close(to.all)
		}
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
	value := part[at+len(marker):]
	first, second, _ := strings.Cut(string(value[:bytes.IndexByte(value, '"')]), " ")
	if event, err = strconv.Atoi(first); err == nil {
		round, err = strconv.Atoi(second)
	}
	return len(part), event, round, err
}

// -- writing -----------------------------------------------------------------------------------------------

func written(to server) *http.Client {
	_, configuration, err := place(to)
	if err != nil {
		fail(err)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: configuration}, Timeout: patience}
}

func run(client *http.Client, to server, number int, asked round, watches int) (told, error) {
	now := &hearing{
		number:   number,
		sent:     make([]atomic.Int64, asked.Events),
		arrived:  make([][]delivery, watches),
		all:      make(chan struct{}),
		expected: int64(asked.Events) * int64(asked.Expected),
	}
	present.Store(now)
	start := since()
	pace := time.NewTicker(time.Duration(float64(time.Second) / asked.Rate))
	defer pace.Stop()
	for event := range asked.Events {
		<-pace.C
		now.sent[event].Store(since())
		if err := patch(client, to, asked, fmt.Sprintf("%d %d", event, number)); err != nil {
			return told{}, err
		}
	}
	if now.expected > 0 {
		select {
		case <-now.all:
		case <-time.After(patience):
		}
	}
	time.Sleep(200 * time.Millisecond) // what comes twice comes now
	present.Store(nil)
	return now.told(start), nil
}

func patch(client *http.Client, to server, asked round, value string) error {
	annotations := map[string]string{"bench.kubemirror/event": value}
	if asked.Padding > 0 {
		annotations["bench.kubemirror/padding"] = strings.Repeat("x", asked.Padding)
	}
	body, _ := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": annotations}})
	request, err := http.NewRequest(http.MethodPatch, to.URL+asked.Path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/merge-patch+json")
	for name, value := range to.Headers {
		request.Header.Set(name, value)
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("patch of %s: %s: %s", asked.Path, answer.Status, said[:min(len(said), 500)])
	}
	return err
}

// told sums up.
func (now *hearing) told(start int64) told {
	var taken []float64
	for _, deliveries := range now.arrived {
		for _, each := range deliveries {
			taken = append(taken, float64(each.at-now.sent[each.event].Load())/1e6)
		}
	}
	result := told{Delivered: len(taken), Wrong: int(now.wrong.Load()), Bytes: now.bytes.Load()}
	if len(taken) > 0 {
		slices.Sort(taken)
		result.P50 = taken[len(taken)/2]
		result.P99 = taken[min(len(taken)*99/100, len(taken)-1)]
		result.Max = taken[len(taken)-1]
		result.Seconds = float64(now.last.Load()-start) / 1e9
	}
	return result
}
