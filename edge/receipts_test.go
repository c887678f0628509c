package edge

import (
	"testing"
	"testing/synctest"
	"time"

	"sward/accounting"
)

// The end of one stream is signed for together with those that end soon after. Streams that run on are not held up by it.
func TestEndedStreamHoldsUpNoRunningOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now, key := time.Now(), mustKey(t)
		s := &session{meter: accounting.NewMeter(accounting.MeterConfig{
			Side: accounting.EdgeSide, Network: testNetwork, Key: key, Channel: accounting.Channel{
				EdgeKey: key.ID(),
				Step:    accounting.MinStep, Window: 8 * accounting.MinStep, Opened: now.UnixMilli(), Expires: now.Add(time.Hour).UnixMilli(),
			},
		})}
		flow, err := s.meter.Flow(4, accounting.GrantID{1})
		if err != nil {
			t.Fatal(err)
		}
		if s.gather(t.Context()); time.Since(now) != countSpacing {
			t.Errorf("with nothing due it took %s, want %s", time.Since(now), countSpacing)
		}
		flow.Down(accounting.MinStep)
		now = time.Now()
		if s.gather(t.Context()); time.Since(now) != 0 {
			t.Errorf("with a step due it took %s, want none", time.Since(now))
		}
	})
}
