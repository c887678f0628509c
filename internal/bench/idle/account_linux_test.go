package main

import (
	"os"
	"testing"
	"time"
)

func TestAnAccountSeesWhatAProcessDoes(t *testing.T) {
	before, err := accountOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); { //nolint:revive // it is the work
	}
	busy, err := accountOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if spent := busy.cpu - before.cpu; spent < 5*time.Millisecond || spent > time.Second {
		t.Errorf("50 ms of work are %s on the account", spent)
	}
	for range 20 {
		time.Sleep(2 * time.Millisecond)
	}
	slept, err := accountOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if woken := slept.switches - busy.switches; woken < 20 {
		t.Errorf("20 sleeps are %d wake-ups on the account", woken)
	}
	if slept.rss < 1<<20 || slept.anonymous > slept.rss || slept.threads < 1 {
		t.Errorf("%+v", slept)
	}
}
