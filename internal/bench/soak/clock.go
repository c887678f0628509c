package main

import (
	"sync/atomic"
	"time"
)

// clock runs like the wall's, from wherever it was set.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Now().Add(time.Duration(c.offset.Load()))
}

// set makes it at now.
func (c *clock) set(at time.Time) { c.offset.Store(int64(time.Until(at))) }
