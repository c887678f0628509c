package edge

import "sward/edge/sense"

// newSensor makes the worker that holds this edge while its machine or line are needed otherwise.
func (e *Edge) newSensor() *sense.Sensor {
	return sense.New(sense.Config{
		Switches: func() sense.Switches { return sense.Switches(e.Settings().PauseOn) },
		Hold:     e.hold, Release: e.release, Log: e.cfg.Log,
		Carried: func() (up, down int64) {
			t := e.Traffic()
			return t.Up, t.Down
		},
	})
}

// Senses is what the machine tells of itself and its line now: what the edge could give way to, and what cannot be told.
func (e *Edge) Senses() []sense.Fact { return e.sensor.Facts() }
