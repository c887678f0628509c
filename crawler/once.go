package crawler

import "time"

// onceMemory is how long the name of an order is remembered: longer than any client goes on trying.
const onceMemory = 24 * time.Hour

// once takes the name of an order for a job, or says that another has it. An empty name is nobody's.
func (t *tx) once(a Account, name, job string, now time.Time) error {
	if name == "" {
		return nil
	}
	n, err := t.do("INSERT INTO once (account, name, job, at) VALUES (?, ?, ?, ?) ON CONFLICT (account, name) DO NOTHING",
		a.ID, name, job, now.UnixMilli())
	if err == nil && n == 0 {
		return ErrRepeated
	}
	return err
}

// forgetNames frees the names that were taken long ago.
func (t *tx) forgetNames(now time.Time) error {
	_, err := t.do("DELETE FROM once WHERE at <= ?", now.Add(-onceMemory).UnixMilli())
	return err
}
