package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A round ends this long after its last write, whatever has come.
const patience = 20 * time.Second

type round struct {
	Events   int     `json:"events"`
	Rate     float64 `json:"rate"`     // a second
	Path     string  `json:"path"`     // of the object that is patched
	Padding  int     `json:"padding"`  // bytes added to it
	Image    string  `json:"image"`    // "" or what its container's image is patched to, tagged r<round>-<event>
	Expected int     `json:"expected"` // watches that hear each event
}

type told struct {
	Number    int     `json:"number"`
	Delivered int     `json:"delivered"`
	Wrong     int     `json:"wrong"`  // events heard twice, or out of order, or after one was left out
	Frames    int64   `json:"frames"` // or lines
	Bytes     int64   `json:"bytes"`  // of these
	P50       float64 `json:"p50"`    // milliseconds, as the next four
	P99       float64 `json:"p99"`
	Max       float64 `json:"max"`
	LastP50   float64 `json:"last_p50"` // until the last of those who hear an event has heard it, by event
	LastP99   float64 `json:"last_p99"`
	Retries   int     `json:"retries"` // of sockets that came
	Seconds   float64 `json:"seconds"` // from the first write to the last delivery
}

// hearing is what the watches of a round write to.
type hearing struct {
	number    int
	sent      []atomic.Int64 // by event, nanoseconds since the program's start
	delivered atomic.Int64
	wrong     atomic.Int64
	frames    atomic.Int64
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

func newHearing(number int, asked round, watches int) *hearing {
	return &hearing{
		number:   number,
		sent:     make([]atomic.Int64, asked.Events),
		arrived:  make([][]delivery, watches),
		all:      make(chan struct{}),
		expected: int64(asked.Events) * int64(asked.Expected),
	}
}

// heard notes an event. in, next: the round that this watch hears, and the event that comes next.
func (now *hearing) heard(watch, event int, at int64, in, next *int) {
	if *in != now.number {
		*in, *next = now.number, 0
	}
	if event != *next {
		now.wrong.Add(1)
	}
	*next = event + 1
	now.arrived[watch] = append(now.arrived[watch], delivery{event, at})
	now.last.Store(at)
	if now.delivered.Add(1) == now.expected {
		close(now.all)
	}
}

// wait waits until all is heard, or for so long.
func (now *hearing) wait(most time.Duration) {
	if now.expected > 0 {
		select {
		case <-now.all:
		case <-time.After(most):
		}
	}
	time.Sleep(200 * time.Millisecond) // what comes twice comes now
	present.Store(nil)
}

func run(client *http.Client, to server, number int, asked round, watches int) (told, error) {
	now := newHearing(number, asked, watches)
	present.Store(now)
	start := since()
	if err := now.write(client, to, asked); err != nil {
		return told{}, err
	}
	now.wait(patience)
	return now.told(start), nil
}

func (now *hearing) write(client *http.Client, to server, asked round) error {
	pace := time.NewTicker(time.Duration(float64(time.Second) / asked.Rate))
	defer pace.Stop()
	for event := range asked.Events {
		<-pace.C
		now.sent[event].Store(since())
		if err := patch(client, to, asked, event, now.number); err != nil {
			return err
		}
	}
	return nil
}

func patch(client *http.Client, to server, asked round, event, number int) error {
	annotations := map[string]string{"bench.kubemirror/event": fmt.Sprintf("%d %d", event, number)}
	if asked.Padding > 0 {
		annotations["bench.kubemirror/padding"] = strings.Repeat("x", asked.Padding)
	}
	patched := map[string]any{"metadata": map[string]any{"annotations": annotations}}
	if asked.Image != "" {
		image := fmt.Sprintf("%s:r%d-%d", asked.Image, number, event)
		containers := []any{map[string]any{"name": "app", "image": image}}
		pods := map[string]any{"spec": map[string]any{"containers": containers}}
		patched["spec"] = map[string]any{"template": pods}
	}
	body, _ := json.Marshal(patched)
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
	last := make([]float64, len(now.sent))
	for _, deliveries := range now.arrived {
		for _, each := range deliveries {
			one := float64(each.at-now.sent[each.event].Load()) / 1e6
			taken = append(taken, one)
			last[each.event] = max(last[each.event], one)
		}
	}
	result := told{Number: now.number, Delivered: len(taken), Wrong: int(now.wrong.Load())}
	result.Frames, result.Bytes = now.frames.Load(), now.bytes.Load()
	if len(taken) > 0 {
		slices.Sort(taken)
		slices.Sort(last)
		result.P50, result.P99, result.Max = part(taken, 50), part(taken, 99), taken[len(taken)-1]
		result.LastP50, result.LastP99 = part(last, 50), part(last, 99)
		result.Seconds = float64(now.last.Load()-start) / 1e9
	}
	return result
}

// part is what so many of a hundred of the sorted figures stay below.
func part(sorted []float64, percent int) float64 {
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}
