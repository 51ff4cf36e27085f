package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// polls is a round in which clients that can only ask, ask once a second; each at a time of its own.
type polls struct {
	round
	Asked   string `json:"asked"` // the path that is polled
	Clients int    `json:"clients"`
	Marker  string `json:"marker"` // what stands before an event's number in an answer; {} is the round
}

const pollEvery = time.Second

// poll asks while it writes. What is told are the times from a write to the first answer that shows it, or a later one.
func poll(client *http.Client, watched, to server, number int, asked polls) (told, error) {
	address, configuration, err := place(watched)
	if err != nil {
		return told{}, err
	}
	if configuration != nil {
		return told{}, fmt.Errorf("polls are in plaintext only")
	}
	now := newHearing(number, asked.round, asked.Clients)
	asked.Marker = strings.ReplaceAll(asked.Marker, "{}", strconv.Itoa(number))
	shown := make([][]delivery, asked.Clients)
	failed := make(chan error, asked.Clients)
	stop := make(chan struct{})
	for each := range asked.Clients {
		go func() { failed <- asking(address, watched.Headers, asked, each, &shown[each], stop) }()
	}
	time.Sleep(pollEvery)
	start := since()
	if err := now.write(client, to, asked.round); err != nil {
		return told{}, err
	}
	time.Sleep(2 * pollEvery)
	close(stop)
	for range asked.Clients {
		if err := <-failed; err != nil {
			return told{}, err
		}
	}
	for each, answers := range shown {
		next := 0
		for _, answer := range answers {
			for ; next <= answer.event; next++ { // skipped ones are shown, as far as they ever are, by what came after
				now.arrived[each] = append(now.arrived[each], delivery{next, answer.at})
			}
		}
		now.last.Store(max(now.last.Load(), since()))
	}
	return now.told(start), nil
}

func asking(address string, headers map[string]string, asked polls, each int, shown *[]delivery, stop chan struct{}) error {
	connection, err := net.DialTimeout("tcp", address, 30*time.Second)
	if err != nil {
		return err
	}
	defer connection.Close()
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\n", asked.Asked, address)
	for name, value := range headers {
		request += name + ": " + value + "\r\n"
	}
	buffered := bufio.NewReaderSize(connection, 8<<10)
	body := &bytes.Buffer{}
	first := time.Duration(float64(pollEvery) * float64(each) / float64(asked.Clients))
	for wait := time.After(first); ; {
		select {
		case <-stop:
			return nil
		case <-wait:
		}
		wait = time.After(pollEvery)
		if _, err := io.WriteString(connection, request+"\r\n"); err != nil {
			return err
		}
		answer, err := http.ReadResponse(buffered, nil)
		if err != nil {
			return err
		}
		body.Reset()
		if _, err := body.ReadFrom(answer.Body); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %.300q", answer.Status, body.Bytes())
		}
		if event := newest(body.Bytes(), asked.Marker); event >= 0 {
			*shown = append(*shown, delivery{event, since()})
		}
	}
}

// newest is the number of the event that an answer shows, -1 for none.
func newest(body []byte, marker string) int {
	_, after, found := bytes.Cut(body, []byte(marker))
	if !found {
		return -1
	}
	digits := slices.IndexFunc(after, func(each byte) bool { return each < '0' || each > '9' })
	event, err := strconv.Atoi(string(after[:max(digits, 0)]))
	if err != nil {
		return -1
	}
	return event
}
