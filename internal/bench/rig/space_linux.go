package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Space is a network namespace with files of its own over /etc/resolv.conf: a thread that stands in it and does what it
// is asked to. Sockets and programs that it opens belong to the namespace for good.
type Space struct {
	name string
	tid  int
	work chan func()
	done chan struct{}
}

// NewSpace makes a namespace whose loopback is up. Its resolver is the site.
func NewSpace(name, dir string) (*Space, error) {
	resolver := filepath.Join(dir, name+".resolv.conf")
	if err := os.WriteFile(resolver, []byte("nameserver "+dns+"\noptions timeout:2 attempts:2\n"), 0o644); err != nil {
		return nil, err
	}
	s := &Space{name: name, work: make(chan func()), done: make(chan struct{})}
	ready := make(chan error)
	onThread(func() {
		defer close(s.done)
		err := enter(resolver)
		s.tid = unix.Gettid()
		ready <- err
		for do := range s.work {
			do()
		}
	})
	if err := <-ready; err != nil {
		s.Close()
		return nil, fmt.Errorf("%w: no network namespace here: %w", ErrMissing, err)
	}
	if err := s.settle(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// settle readies the namespace: loopback, forwarding (the home is a router on the direct road), no memory of old
// connections, by which the kernel would start a new one at the rate of one that met another line, and ports for the
// connections of a minute, for as long as each stays taken after its end.
func (s *Space) settle() error {
	if err := s.IP("link", "set", "lo", "up"); err != nil {
		return err
	}
	return s.Do(func() error {
		return errors.Join(
			os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644),
			os.WriteFile("/proc/sys/net/ipv4/tcp_no_metrics_save", []byte("1"), 0o644),
			os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("10240 65535"), 0o644),
			os.WriteFile("/proc/sys/net/ipv4/tcp_tw_reuse", []byte("1"), 0o644))
	})
}

// onThread runs do on a thread of its own, which ends when do does, and with it what stands in its namespace. The
// process's first thread is not for that: the runtime keeps it for ever.
func onThread(do func()) {
	go func() {
		runtime.LockOSThread() // not unlocked: the thread dies with its goroutine
		if unix.Gettid() != unix.Getpid() {
			do()
			return
		}
		taken := make(chan struct{})
		onThread(func() { // on another, while this goroutine holds the first
			close(taken)
			do()
		})
		<-taken
		runtime.UnlockOSThread()
	}()
}

// enter moves this thread into a new network and mount namespace.
func enter(resolver string) error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount(resolver, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind resolv.conf: %w", err)
	}
	return nil
}

// Close ends the thread. Programs that were started from it are killed by the kernel.
func (s *Space) Close() {
	close(s.work)
	<-s.done
}

// Do calls do on the thread, and waits.
func (s *Space) Do(do func() error) (err error) {
	finished := make(chan struct{})
	s.work <- func() {
		defer close(finished)
		err = do()
	}
	<-finished
	return err
}

// IP runs iproute2 in the namespace.
func (s *Space) IP(args ...string) error { return s.Run(append([]string{"ip"}, args...)...) }

// Run runs a tool in the namespace to its end.
func (s *Space) Run(args ...string) error {
	return s.Do(func() error {
		out, err := exec.CommandContext(context.Background(), args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("in %s: %s: %w: %s", s.name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
		}
		return nil
	})
}

// Listen opens a TCP listener in the namespace.
func (s *Space) Listen(address string) (l net.Listener, err error) {
	err = s.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
		return err
	})
	return l, err
}

// ListenPacket opens a UDP socket in the namespace.
func (s *Space) ListenPacket(address string) (c *net.UDPConn, err error) {
	err = s.Do(func() error {
		p, err := (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", address)
		if err == nil {
			c = p.(*net.UDPConn)
		}
		return err
	})
	return c, err
}

// Dial connects from the namespace to an address and port, with the socket's options set by control (or nil).
func (s *Space) Dial(ctx context.Context, address string, d net.Dialer) (c net.Conn, err error) {
	err = s.Do(func() (err error) {
		c, err = d.DialContext(ctx, "tcp", address)
		return err
	})
	return c, err
}

// Congestion is a dialer's or listener's control that sets the congestion control of TCP sockets by its name.
func Congestion(control string) func(network, address string, c syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, control)
		})
		return errors.Join(failed, err)
	}
}
