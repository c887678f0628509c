package dashboard

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"sward/policy"
)

// Volumes are typed in GB and rates in Mbit/s, as contracts with providers say them. An empty field or 0 is no limit.
const (
	gigabyte = 1e9
	megabit  = 1e6 / 8 // bytes
)

// amountOf is a size as a field shows it.
func amountOf(s policy.Size, unit float64) string {
	if s == 0 {
		return ""
	}
	return strconv.FormatFloat(float64(s)/unit, 'f', -1, 64)
}

// setAmount takes what the owner typed. A field that was not touched changes nothing: what the file says to the byte is
// not rounded by looking at it.
func setAmount(to *policy.Size, typed, name string, unit float64) error {
	typed = strings.TrimSpace(strings.ReplaceAll(typed, ",", "."))
	if typed == amountOf(*to, unit) {
		return nil
	}
	if typed == "" {
		*to = 0
		return nil
	}
	v, err := strconv.ParseFloat(typed, 64)
	if err != nil || math.IsNaN(v) || v < 0 || v*unit > math.MaxInt64/2 {
		return fmt.Errorf("%s: %.20q is not a number such as 10 or 2.5", name, typed)
	}
	*to = policy.Size(math.Round(v * unit))
	return nil
}
