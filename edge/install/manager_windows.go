package install

import (
	"context"
	"os"
	"sync"

	"github.com/kardianos/service"
)

// Run calls run, and ends its context when Windows stops the service. Outside of a service it is run alone.
func Run(ctx context.Context, run func(context.Context) error) error {
	if service.Interactive() {
		return run(ctx)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	m := &managed{ctx: ctx, stop: stop, run: run}
	s, err := service.New(m, &service.Config{Name: Name})
	if err != nil {
		return err
	}
	return s.Run()
}

// managed is a run that the manager of services starts and stops.
type managed struct {
	ctx   context.Context
	stop  context.CancelFunc
	run   func(context.Context) error
	group sync.WaitGroup
	err   error // of run; read after the group
}

func (m *managed) Start(service.Service) error {
	m.group.Go(func() {
		if m.err = m.run(m.ctx); m.ctx.Err() == nil {
			os.Exit(1) // it ended by itself: what is written is written, and Windows starts it again
		}
	})
	return nil
}

func (m *managed) Stop(service.Service) error {
	m.stop()
	m.group.Wait()
	return m.err
}
