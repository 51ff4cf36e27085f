package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A round of thousands of sockets that open at once: what a mirror may take, and some.
const coming = 60 * time.Second

// A reader that is turned away comes again after half a second, then twice as long each time.
const (
	firstTry  = 500 * time.Millisecond
	mostTries = 6
)

// What one read takes at most: a backlog comes in few reads, as it does in a browser.
const readBytes = 256 << 10

// sockets are WebSockets in plaintext, all read by one thread, so that ten thousand of them cost the machine little and
// none is read before another for any reason but the order in which the kernel tells of them.
type sockets struct {
	epoll   int
	address syscall.Sockaddr
	host    string
	headers map[string]string
	mutex   sync.Mutex // of what follows, while they come and go
	all     map[int32]*socket
	stalled []net.Conn
	again   bool // who is turned away while it comes, comes again
	retries int
	open    chan struct{} // one for each that is open
	failed  chan error
}

type socket struct {
	fd          int
	number      int
	path        string
	tries       int
	asked, open bool
	kept        []byte // the beginning of what has not come to its end yet
	in          int    // the round that it hears
	expected    int    // its next event
}

func newSockets(to server) (*sockets, error) {
	host, configuration, err := place(to)
	if err != nil {
		return nil, err
	}
	if configuration != nil {
		return nil, errors.New("sockets are in plaintext only")
	}
	resolved, err := net.ResolveTCPAddr("tcp4", host)
	if err != nil {
		return nil, err
	}
	epoll, err := syscall.EpollCreate1(0)
	if err != nil {
		return nil, err
	}
	address := &syscall.SockaddrInet4{Port: resolved.Port, Addr: [4]byte(resolved.IP.To4())}
	made := &sockets{
		epoll: epoll, address: address, host: host, headers: to.Headers,
		all: map[int32]*socket{}, open: make(chan struct{}, 1<<16), failed: make(chan error, 1),
	}
	go made.listen()
	return made, nil
}

// come opens a socket of each path, so many at a time (0: all at once), and waits until they are open.
func (all *sockets) come(paths []string, atOnce int) error {
	if atOnce == 0 {
		atOnce = len(paths)
	}
	begun := 0
	for opened := 0; opened < len(paths); opened++ {
		for ; begun < len(paths) && begun-opened < atOnce; begun++ {
			if err := all.begin(begun, paths[begun], 0); err != nil {
				return err
			}
		}
		select {
		case <-all.open:
		case err := <-all.failed:
			return err
		case <-time.After(coming):
			return fmt.Errorf("%d of %d sockets were open in time", opened, len(paths))
		}
	}
	return nil
}

func (all *sockets) begin(number int, path string, tries int) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	// Who leaves is gone at once, and its port free: what a network that breaks looks like.
	syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1})
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	if err := syscall.Connect(fd, all.address); err != nil && err != syscall.EINPROGRESS {
		return err
	}
	all.mutex.Lock()
	all.all[int32(fd)] = &socket{fd: fd, number: number, path: path, tries: tries}
	all.mutex.Unlock()
	wanted := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLOUT, Fd: int32(fd)}
	return syscall.EpollCtl(all.epoll, syscall.EPOLL_CTL_ADD, fd, &wanted)
}

// leave closes all, without a word.
func (all *sockets) leave() {
	all.mutex.Lock()
	defer all.mutex.Unlock()
	for _, each := range all.all {
		syscall.Close(each.fd)
	}
	clear(all.all)
}

// stall opens one more, that asks and reads nothing.
func (all *sockets) stall(path string) error {
	connection, err := net.Dial("tcp4", all.host)
	if err != nil {
		return err
	}
	connection.(*net.TCPConn).SetReadBuffer(4096)
	_, err = connection.Write(all.upgrade(path))
	all.stalled = append(all.stalled, connection)
	return err
}

// release closes those that read nothing.
func (all *sockets) release() {
	for _, each := range all.stalled {
		each.Close()
	}
	all.stalled = nil
}

func (all *sockets) upgrade(path string) []byte {
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nConnection: Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", path, all.host)
	for name, value := range all.headers {
		request += name + ": " + value + "\r\n"
	}
	return []byte(request + "\r\n")
}

func (all *sockets) listen() {
	runtime.LockOSThread()
	events := make([]syscall.EpollEvent, 1024)
	buffer := make([]byte, readBytes)
	for {
		count, err := syscall.EpollWait(all.epoll, events, -1)
		if err != nil && err != syscall.EINTR {
			fail(err)
		}
		for _, event := range events[:max(count, 0)] {
			all.mutex.Lock()
			each := all.all[event.Fd]
			all.mutex.Unlock()
			if each == nil {
				continue // it has left
			}
			if err := all.look(each, event.Events, buffer); err != nil {
				all.end(each, err)
			}
		}
	}
}

// end is for one that was closed by the other side: what is open measures nothing any more.
func (all *sockets) end(each *socket, err error) {
	all.mutex.Lock()
	_, there := all.all[int32(each.fd)]
	all.mutex.Unlock()
	if !there {
		return
	}
	err = fmt.Errorf("the socket of %s ended: %w", each.path, err)
	if each.open {
		fail(err)
	}
	if all.again && each.tries < mostTries {
		all.retry(each)
		return
	}
	syscall.EpollCtl(all.epoll, syscall.EPOLL_CTL_DEL, each.fd, nil)
	select {
	case all.failed <- err:
	default:
	}
}

// retry opens it anew after a time of its own, as docs/push.md asks of readers that were cut off.
func (all *sockets) retry(each *socket) {
	all.mutex.Lock()
	delete(all.all, int32(each.fd))
	all.retries++
	all.mutex.Unlock()
	syscall.Close(each.fd)
	wait := time.Duration(float64(firstTry) * float64(int(1)<<each.tries) * (0.5 + rand.Float64()))
	time.AfterFunc(wait, func() {
		if err := all.begin(each.number, each.path, each.tries+1); err != nil {
			fail(err)
		}
	})
}

func (all *sockets) look(each *socket, ready uint32, buffer []byte) error {
	if !each.asked {
		if ready&(syscall.EPOLLERR|syscall.EPOLLHUP) != 0 {
			return errors.New("it could not be connected")
		}
		each.asked = true
		wanted := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(each.fd)}
		if err := syscall.EpollCtl(all.epoll, syscall.EPOLL_CTL_MOD, each.fd, &wanted); err != nil {
			return err
		}
		_, err := syscall.Write(each.fd, all.upgrade(each.path))
		return err
	}
	count, err := syscall.Read(each.fd, buffer)
	if err == syscall.EAGAIN {
		return nil
	}
	if err == nil && count == 0 {
		err = errors.New("the other side has closed it")
	}
	if err != nil {
		return err
	}
	at := since()
	came := buffer[:count]
	if len(each.kept) > 0 {
		came = append(each.kept, came...)
	}
	if !each.open {
		head, rest, whole := bytes.Cut(came, []byte("\r\n\r\n"))
		if !whole {
			each.kept = bytes.Clone(came)
			return nil
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
			return fmt.Errorf("it was answered %.300q", came)
		}
		each.open, came = true, rest
		all.open <- struct{}{}
	}
	rest, err := each.frames(came, at)
	each.kept = nil
	if len(rest) > 0 {
		each.kept = bytes.Clone(rest)
	}
	return err
}

// frames takes the whole frames at the beginning, and returns the rest.
func (each *socket) frames(came []byte, at int64) ([]byte, error) {
	for len(came) >= 2 {
		size, head := int(came[1]&0x7f), 2
		switch size {
		case 126:
			if len(came) < 4 {
				return came, nil
			}
			size, head = int(binary.BigEndian.Uint16(came[2:])), 4
		case 127:
			if len(came) < 10 {
				return came, nil
			}
			size, head = int(binary.BigEndian.Uint64(came[2:])), 10
		}
		if len(came) < head+size {
			return came, nil
		}
		payload := came[head : head+size]
		switch came[0] & 0x0f {
		case 1:
			each.hear(payload, at)
		case 8:
			return nil, fmt.Errorf("it was closed: %q", payload)
		case 9:
			if err := each.pong(payload); err != nil {
				return nil, err
			}
		}
		came = came[head+size:]
	}
	return came, nil
}

// hear takes each event of a message: one, or those of a batch.
func (each *socket) hear(message []byte, at int64) {
	to := present.Load()
	if to == nil {
		return
	}
	to.frames.Add(1)
	to.bytes.Add(int64(len(message)))
	for {
		start := bytes.Index(message, marker)
		if start < 0 {
			return
		}
		message = message[start+len(marker):]
		event, round, err := marked(message)
		if err != nil {
			fail(err)
		}
		if round == to.number {
			to.heard(each.number, event, at, &each.in, &each.expected)
		}
	}
}

func (each *socket) pong(payload []byte) error {
	frame := make([]byte, 6, 6+len(payload))
	frame[0], frame[1] = 0x8a, 0x80|byte(len(payload))
	binary.BigEndian.PutUint32(frame[2:], rand.Uint32())
	for at, value := range payload {
		frame = append(frame, value^frame[2+at%4])
	}
	_, err := syscall.Write(each.fd, frame)
	return err
}

// marked reads "<event> <round>" up to the quote.
func marked(value []byte) (event, round int, err error) {
	end := bytes.IndexByte(value, '"')
	first, second, _ := bytes.Cut(value[:max(end, 0)], []byte(" "))
	if event, err = strconv.Atoi(string(first)); err == nil {
		round, err = strconv.Atoi(string(second))
	}
	return event, round, err
}
