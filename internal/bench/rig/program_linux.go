package rig

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Program is a child process in a namespace.
type Program struct {
	Name string
	log  string
	cmd  *exec.Cmd
	over chan struct{} // closed when it has ended
}

// Start runs a program in the namespace, with its output in a file of dir. The kernel kills it when the namespace's
// thread ends, whatever becomes of this process.
func (s *Space) Start(dir, name string, args ...string) (*Program, error) {
	p := &Program{Name: name, log: filepath.Join(dir, name+".log"), over: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.CommandContext(context.Background(), args[0], args[1:]...)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := s.Do(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		p.cmd.Wait() //nolint:errcheck // its end is what counts
		close(p.over)
	}()
	return p, nil
}

// Output runs a program in the namespace to its end and returns what it printed. With ctx its children end
// too.
func (s *Space) Output(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // its children too: a browser has many
	cmd.WaitDelay = time.Second
	if err := s.Do(cmd.Start); err != nil {
		return "", err
	}
	err := cmd.Wait()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(args[0]), err, lastLines(stderr.String(), 20))
	}
	return strings.TrimSpace(stdout.String()), err
}

// Stop ends the program: it is asked, and killed when it does not listen.
func (p *Program) Stop() {
	if p == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM) //nolint:errcheck // it may have ended by itself
	select {
	case <-p.over:
	case <-time.After(8 * time.Second):
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // see above
		<-p.over
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // children that it left
}

// Kill ends the program at once.
func (p *Program) Kill() {
	if p == nil {
		return
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) //nolint:errcheck // it may have ended by itself
	<-p.over
}

// PID is the process that was started.
func (p *Program) PID() int { return p.cmd.Process.Pid }

// Said is the end of what the program printed.
func (p *Program) Said() string {
	data, _ := os.ReadFile(p.log) //nolint:errcheck // a message without it is better than none
	return lastLines(string(data), 10)
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// userHz is the unit of /proc/PID/stat: a constant of Linux's interface, whatever the kernel ticks at.
const userHz = 100

// Usage is what the program and the children it has in its process group have used: CPU time and resident memory.
func (p *Program) Usage() (cpu time.Duration, rss int64) {
	group := p.cmd.Process.Pid
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, 0
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			c, r, pgrp := statOf(pid)
			if pgrp == group {
				cpu, rss = cpu+c, rss+r
			}
		}
	}
	return cpu, rss
}

// statOf reads /proc/PID/stat. Fields are counted from behind the program's name, which may hold anything.
func statOf(pid int) (cpu time.Duration, rss int64, group int) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, 0
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 22 {
		return 0, 0, 0
	}
	number := func(i int) int64 { n, _ := strconv.ParseInt(fields[i], 10, 64); return n } //nolint:errcheck // the kernel writes numbers
	ticks := number(11) + number(12) + number(13) + number(14)                            // user, system, and of children that have ended
	return time.Duration(ticks) * time.Second / userHz, number(21) * int64(os.Getpagesize()), int(number(2))
}

// Eventually repeats try until it succeeds, or says why it last did not.
func Eventually(ctx context.Context, what string, atMost time.Duration, try func() error) error {
	var last error
	for end := time.Now().Add(atMost); time.Now().Before(end); {
		if last = try(); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s: not within %s: %w", what, atMost, last)
}
