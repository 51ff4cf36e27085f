// streams holds many streams of a server open, writes to the API server behind it at a steady rate, and says what
// arrived when. Driven by bench/generator.py: one JSON document a line on standard input, one on standard output.
//
// The first line says whom to watch and how; the answer tells that all are open. Each further line is a round of
// writes: the answer tells how many events came, whether each stream heard each of its events once and in order, and how
// long they took from the moment the write was sent. Some lines ask for something else, which "do" names. It ends with
// its input.
//
// A write puts "<number> <round>" into an annotation, by which a stream knows which event it is.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// What the annotation starts with: see bench/streams.py, which names it.
var marker = []byte(`"bench.kubemirror/event":"`)

type server struct {
	URL       string            `json:"url"`
	Headers   map[string]string `json:"headers"`
	Authority string            `json:"authority"` // PEM; "" for plain HTTP
}

type watches struct {
	Path  string `json:"path"`  // with its query; {} is the stream's number
	Count int    `json:"count"` // so many of them
}

type order struct {
	Watched server    `json:"watched"`
	Written server    `json:"written"`
	Watches []watches `json:"watches"`
	Sockets bool      `json:"sockets"` // WebSockets, and not HTTP answers
}

// question is a line after the first. do: "" for a round of writes.
type question struct {
	polls
	Do      string    `json:"do"`
	Watches []watches `json:"watches"` // those who come
	Number  int       `json:"number"`  // the round that they hear
}

func main() {
	input := bufio.NewReaderSize(os.Stdin, 1<<20)
	output := json.NewEncoder(os.Stdout)
	var asked order
	read(input, &asked)
	driven, err := begin(asked)
	if err != nil {
		fail(err)
	}
	output.Encode(map[string]int{"open": driven.count})
	for number := 1; ; number++ {
		var next question
		if !read(input, &next) {
			return
		}
		result, err := driven.do(number, next)
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

// program is what is open, and who writes.
type program struct {
	order
	client  *http.Client
	count   int
	sockets *sockets // nil where they are HTTP answers
}

func begin(asked order) (*program, error) {
	paths := pathsOf(asked.Watches)
	made := &program{order: asked, client: written(asked.Written), count: len(paths)}
	if !asked.Sockets {
		return made, open(asked.Watched, paths)
	}
	all, err := newSockets(asked.Watched)
	if err != nil {
		return nil, err
	}
	made.sockets = all
	return made, all.come(paths, opening)
}

func pathsOf(groups []watches) []string {
	var paths []string
	for _, group := range groups {
		for number := range group.Count {
			paths = append(paths, strings.ReplaceAll(group.Path, "{}", strconv.Itoa(number)))
		}
	}
	return paths
}

func written(to server) *http.Client {
	_, configuration, err := place(to)
	if err != nil {
		fail(err)
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: configuration}, Timeout: patience}
}

func (driven *program) do(number int, next question) (told, error) {
	switch next.Do {
	case "":
		return run(driven.client, driven.Written, number, next.round, driven.count)
	case "poll":
		return poll(driven.client, driven.Watched, driven.Written, number, next.polls)
	case "stall":
		return told{}, driven.sockets.stall(pathsOf(next.Watches)[0])
	case "release":
		driven.sockets.release()
		return told{}, nil
	case "leave":
		driven.sockets.leave()
		return told{}, nil
	case "come":
		return driven.come(next)
	default:
		return told{}, fmt.Errorf("nothing known by the name of %q", next.Do)
	}
}

// come opens all at once, and waits until each has heard the events of a round that it has missed.
func (driven *program) come(next question) (told, error) {
	paths := pathsOf(next.Watches)
	driven.count = len(paths)
	next.Expected = len(paths)
	now := newHearing(next.Number, next.round, len(paths))
	present.Store(now)
	start := since()
	for event := range next.Events {
		now.sent[event].Store(start)
	}
	driven.sockets.again = true
	if err := driven.sockets.come(paths, 0); err != nil {
		return told{}, err
	}
	now.wait(coming)
	result := now.told(start)
	result.Retries = driven.sockets.retries
	return result, nil
}
