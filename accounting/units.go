package accounting

import (
	"fmt"
	"math"
	"time"
)

// MaxCount bounds every count of bytes or streams in a signed body: 4 EiB, more than any channel can carry. Two counts
// below it always have a sum that fits, and every count fits an int64, so that nothing downstream can wrap around.
const MaxCount = 1 << 62

// maxSkew is how far two honest clocks may be apart. It matches what a session's Hello accepts.
const maxSkew = 5 * time.Minute

// Micro is an amount of points, the ledger's unit, in millionths. Amounts are integers from end to end, so that ten
// million postings add up to the last millionth.
type Micro int64

// String is the amount in points with all six decimals: "-0.250000".
func (m Micro) String() string {
	sign, u := "", uint64(m)
	if m < 0 {
		sign, u = "-", -u
	}
	return fmt.Sprintf("%s%d.%06d", sign, u/1e6, u%1e6)
}

// Add is the sum, or an error where the sum does not fit.
func (m Micro) Add(n Micro) (Micro, error) {
	if n > 0 && m > math.MaxInt64-n || n < 0 && m < math.MinInt64-n {
		return 0, fmt.Errorf("add %s and %s: out of range", m, n)
	}
	return m + n, nil
}

// AddChecked is the sum of two counts; false when it or either of them passes [MaxCount].
func AddChecked(a, b uint64) (uint64, bool) {
	if a > MaxCount || b > MaxCount-a {
		return 0, false
	}
	return a + b, true
}
