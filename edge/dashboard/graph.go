package dashboard

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"sward/edge"
)

const (
	sampleEvery = time.Second
	graphPoints = 120 // samples shown: two minutes
	graphWidth  = 600 // units of the drawing
	graphHeight = 140
	graphFloor  = 1e6 // bits per second that fill the drawing at least, so that a trickle does not look like a flood
)

// graph is how fast the line has been lent lately. It samples while somebody looks, and not otherwise: an edge that
// nobody watches does not wake up for it.
type graph struct {
	read func() edge.Traffic

	mu       sync.Mutex
	lookers  int
	stop     context.CancelFunc
	stopped  chan struct{}
	last     edge.Traffic
	lastAt   time.Time
	up, down []float64 // bits per second, oldest first
}

// look has the graph sampled until the returned function is called.
func (g *graph) look() (away func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lookers++
	if g.lookers == 1 {
		if time.Since(g.lastAt) > 2*sampleEvery { // what was drawn before is not what came right before now
			g.up, g.down = nil, nil
			g.last, g.lastAt = g.read(), time.Now()
		}
		var ctx context.Context
		ctx, g.stop = context.WithCancel(context.Background())
		g.stopped = make(chan struct{})
		go g.sample(ctx, g.stopped)
	}
	return sync.OnceFunc(func() {
		g.mu.Lock()
		g.lookers--
		if g.lookers > 0 {
			g.mu.Unlock()
			return
		}
		g.stop()
		stopped := g.stopped
		g.mu.Unlock()
		<-stopped
	})
}

func (g *graph) sample(ctx context.Context, stopped chan<- struct{}) {
	defer close(stopped)
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			g.add(g.read(), now)
		}
	}
}

func (g *graph) add(t edge.Traffic, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if seconds := now.Sub(g.lastAt).Seconds(); seconds > 0 {
		g.up = append(g.up, max(0, float64(t.Up-g.last.Up)*8/seconds))
		g.down = append(g.down, max(0, float64(t.Down-g.last.Down)*8/seconds))
		over := max(0, len(g.up)-graphPoints)
		g.up, g.down = g.up[over:], g.down[over:]
	}
	g.last, g.lastAt = t, now
}

// drawing is the graph as a page shows it. Width and height are the units of the lines.
type drawing struct {
	Width, Height    int
	Up, Down         float64 // bits per second, the latest
	UpLine, DownLine string  // the d of an SVG path
	DownArea         string
	Top              float64 // bits per second at the upper edge
	Empty            bool
}

func (g *graph) draw() drawing {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := drawing{Width: graphWidth, Height: graphHeight, Top: graphFloor, Empty: len(g.up) < 2}
	if len(g.up) == 0 {
		return p
	}
	p.Up, p.Down = g.up[len(g.up)-1], g.down[len(g.down)-1]
	highest := 0.0
	for i := range g.up {
		highest = max(highest, g.up[i], g.down[i])
	}
	for _, step := range []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000} {
		if p.Top = step * 1e6; highest <= p.Top {
			break
		}
	}
	p.UpLine, p.DownLine = p.line(g.up), p.line(g.down)
	if !p.Empty {
		p.DownArea = fmt.Sprintf("%sL%d %dL%d %dZ", p.DownLine, p.Width, p.Height, p.x(0, len(g.down)), p.Height)
	}
	return p
}

// x is where sample i of n stands: the latest at the right edge.
func (p drawing) x(i, n int) int { return p.Width - (n-1-i)*p.Width/(graphPoints-1) }

func (p drawing) line(samples []float64) string {
	var d strings.Builder
	for i, v := range samples {
		letter := byte('L')
		if i == 0 {
			letter = 'M'
		}
		y := float64(p.Height) - min(v/p.Top, 1)*float64(p.Height-2) - 1
		fmt.Fprintf(&d, "%c%d %.1f", letter, p.x(i, len(samples)), y)
	}
	return d.String()
}
