package splice

import (
	"sync"
	"sync/atomic"
	"time"
)

// watchChecks is how often in one idle time the watch looks: a pair lives up
// to a quarter longer than it was promised, and nobody sets a timer per read.
const watchChecks = 4

// watch calls expired once, when moved has not changed for idle; 0 is for ever.
// It is a timer and not a goroutine, because there is one for every stream of
// a relay. After stop has returned, expired is not called any more.
func watch(moved *atomic.Int64, idle time.Duration, expired func()) (stop func()) {
	if idle <= 0 {
		return func() {}
	}
	var (
		mu      sync.Mutex
		last    int64
		quiet   int
		stopped bool
		timer   *time.Timer
	)
	every := max(idle/watchChecks, 1)
	mu.Lock() // the check may run before timer is set
	defer mu.Unlock()
	timer = time.AfterFunc(every, func() {
		mu.Lock()
		defer mu.Unlock()
		if stopped {
			return
		}
		if now := moved.Load(); now != last {
			last, quiet = now, 0
		} else if quiet++; quiet == watchChecks {
			expired()
			return
		}
		timer.Reset(every)
	})
	return func() {
		mu.Lock()
		defer mu.Unlock()
		stopped = true
		timer.Stop()
	}
}
