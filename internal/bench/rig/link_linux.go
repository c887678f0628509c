package rig

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	mtu = 1500
	// deviceQueue in packets is what the kernel holds for the link to read. The line's queue is the link's own, so this
	// one must never be the one that is full.
	deviceQueue = "10000"
)

// Shape is what a line does to packets. The zero Shape is a line without limits.
type Shape struct {
	Delay time.Duration // one way
	Loss  float64       // share of the packets that vanish, each way, after the queue
	Rate  int64         // bits per second each way; 0 is no limit
	Queue int           // bytes that wait for the rate; what does not fit is dropped, as a home router does
}

// Link is a line between two namespaces: two TUN devices with this process between them.
type Link struct {
	ways [2]*way // 0: street to home (up), 1: home to street (down)
	fds  []int
	wait sync.WaitGroup
}

// NewLink joins two namespaces by a line. The same seed loses the same packets.
func NewLink(street, home *Space, seed uint64) (*Link, error) {
	near, err := device(street, Door)
	if err != nil {
		return nil, err
	}
	far, err := device(home, Home)
	if err != nil {
		unix.Close(near)
		return nil, err
	}
	l := &Link{fds: []int{near, far}}
	l.ways[0], l.ways[1] = newWay(near, far, seed), newWay(far, near, seed+1)
	for _, w := range l.ways {
		l.urgent(w.read)
		l.urgent(w.write)
	}
	return l, nil
}

// urgency is the nice value of the link's threads: a line does not wait until a busy machine has time for it.
const urgency = -15

// urgent runs do on a thread of its own, ahead of other programs.
func (l *Link) urgent(do func()) {
	l.wait.Add(1)
	onThread(func() {
		defer l.wait.Done()
		unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), urgency) //nolint:errcheck // slower, then
		do()
	})
}

// device makes a TUN device in a namespace and gives it its address.
func device(s *Space, address string) (fd int, err error) {
	err = s.Do(func() error {
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
		if err != nil {
			return fmt.Errorf("%w: no TUN device here: %w", ErrMissing, err)
		}
		request, err := unix.NewIfreq("line")
		if err == nil {
			request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
		}
		if err != nil {
			unix.Close(fd)
			return fmt.Errorf("%w: no TUN device here: %w", ErrMissing, err)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	err = errors.Join(
		s.IP("addr", "add", address+"/24", "dev", "line"),
		s.IP("link", "set", "line", "mtu", fmt.Sprint(mtu), "txqueuelen", deviceQueue, "up"))
	if err != nil {
		unix.Close(fd)
		return 0, err
	}
	return fd, nil
}

// Shape changes the line, both ways, for the packets that come from now on.
func (l *Link) Shape(s Shape) {
	for _, w := range l.ways {
		w.mu.Lock()
		w.shape = s
		w.mu.Unlock()
	}
}

// Seed starts the line's luck anew, so that every row of a table meets the same.
func (l *Link) Seed(seed uint64) {
	for i, w := range l.ways {
		w.mu.Lock()
		w.luck = rand.New(rand.NewPCG(seed, uint64(i)))
		w.mu.Unlock()
	}
}

// Counts are packets since the start: carried, lost by chance, dropped by a full queue, both ways together.
func (l *Link) Counts() (carried, lost, dropped int) {
	for _, w := range l.ways {
		w.mu.Lock()
		carried, lost, dropped = carried+w.carried, lost+w.lost, dropped+w.dropped
		w.mu.Unlock()
	}
	return carried, lost, dropped
}

// Close ends the line and its devices.
func (l *Link) Close() {
	for _, w := range l.ways {
		w.close()
	}
	l.wait.Wait()
	for _, fd := range l.fds {
		unix.Close(fd)
	}
}

// way is one direction of a line. Packets leave in the order in which they came, so a queue is enough: the one at its
// head is always the next to leave.
type way struct {
	from, to int // descriptors of the devices

	mu                     sync.Mutex
	more                   sync.Cond
	shape                  Shape
	luck                   *rand.Rand
	free                   time.Time // when the rate has sent all that it took
	waiting                []parcel
	closed                 bool
	carried, lost, dropped int
}

type parcel struct {
	due  time.Time
	data []byte
}

func newWay(from, to int, seed uint64) *way {
	w := &way{from: from, to: to, luck: rand.New(rand.NewPCG(seed, 0))}
	w.more.L = &w.mu
	return w
}

func (w *way) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.more.Broadcast()
}

// parcelSize in bytes is more than a packet has.
const parcelSize = mtu + 64

var parcels = sync.Pool{New: func() any { b := make([]byte, parcelSize); return &b }}

// release gives a packet's memory back.
func release(data []byte) {
	if cap(data) == parcelSize { // a smaller one would cut a packet short
		data = data[:parcelSize]
		parcels.Put(&data)
	}
}

// look is how often, in milliseconds, a reader without packets looks whether the line is still wanted.
const look = 100

// read takes packets off the device until the line is closed.
func (w *way) read() {
	ready := []unix.PollFd{{Fd: int32(w.from), Events: unix.POLLIN}}
	for !w.over() {
		if n, err := unix.Poll(ready, look); n == 0 || err != nil {
			continue
		}
		for {
			buf := *parcels.Get().(*[]byte)
			n, err := unix.Read(w.from, buf)
			if err != nil {
				break // nothing more for now
			}
			w.take(time.Now(), buf[:n])
		}
	}
}

func (w *way) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.closed
}

// take decides a packet's fate: dropped by a full queue, lost, or due at a moment.
func (w *way) take(now time.Time, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	leaves := now
	if w.shape.Rate > 0 {
		if w.free.Before(now) {
			w.free = now
		}
		queued := int64(w.free.Sub(now)) * w.shape.Rate / 8 / int64(time.Second)
		if queued+int64(len(data)) > int64(w.shape.Queue) {
			w.dropped++
			release(data)
			return
		}
		w.free = w.free.Add(time.Duration(int64(len(data)) * 8 * int64(time.Second) / w.shape.Rate))
		leaves = w.free
	}
	if w.shape.Loss > 0 && w.luck.Float64() < w.shape.Loss {
		w.lost++
		release(data)
		return
	}
	w.carried++
	w.waiting = append(w.waiting, parcel{leaves.Add(w.shape.Delay), data})
	if len(w.waiting) == 1 {
		w.more.Signal()
	}
}

// slack is how late a packet may be for the sake of sending it together with the next ones.
const slack = 100 * time.Microsecond

// write puts packets on the other device when they are due. It sleeps by the kernel's own clock on its own thread: the
// runtime's timers are a millisecond coarse when nothing else runs.
func (w *way) write() {
	var batch []parcel
	for {
		w.mu.Lock()
		for len(w.waiting) == 0 && !w.closed {
			w.more.Wait()
		}
		if w.closed {
			w.mu.Unlock()
			return
		}
		wait := time.Until(w.waiting[0].due)
		if wait <= 0 {
			n, until := 0, time.Now().Add(slack)
			for n < len(w.waiting) && w.waiting[n].due.Before(until) {
				n++
			}
			batch = append(batch[:0], w.waiting[:n]...)
			w.waiting = w.waiting[n:] // append moves the rest to a new array now and then
		}
		w.mu.Unlock()
		if wait > 0 {
			t := unix.NsecToTimespec(int64(wait))
			unix.Nanosleep(&t, nil) //nolint:errcheck // woken early, it looks again
			continue
		}
		for _, p := range batch {
			unix.Write(w.to, p.data) //nolint:errcheck // what a device does not take is lost, as on any line
			release(p.data)
		}
	}
}
