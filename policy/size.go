package policy

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Size is a number of bytes that people write as "200GB", "10 GiB" or "1.5TB". Decimal and binary
// units are told apart as IEC 80000-13 does; a bare number is bytes.
type Size int64

// sizeUnits is ordered from large to small, which is the order String tries them in.
var sizeUnits = []struct {
	name  string
	bytes uint64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"KB", 1e3}, {"B", 1},
}

// maxFraction is how many digits may follow the point: three keep every decimal unit exact.
const maxFraction = 3

// ParseSize reads a size. Units are matched without regard to case, as people write them.
func ParseSize(s string) (Size, error) {
	number, unit := strings.TrimSpace(s), uint64(1)
	for _, u := range sizeUnits {
		if n := len(number) - len(u.name); n > 0 && strings.EqualFold(number[n:], u.name) {
			number, unit = strings.TrimSpace(number[:n]), u.bytes
			break
		}
	}
	whole, fraction, point := strings.Cut(number, ".")
	if point && (fraction == "" || len(fraction) > maxFraction) {
		return 0, fmt.Errorf("%.40q is not a size such as 200GB or 1.5TiB", s)
	}
	digits, err := strconv.ParseUint(whole+fraction, 10, 64)
	if err != nil || whole == "" {
		return 0, fmt.Errorf("%.40q is not a size such as 200GB or 1.5TiB", s)
	}
	hi, lo := bits.Mul64(digits, unit)
	scale := uint64(math.Pow10(len(fraction)))
	if hi >= scale {
		return 0, fmt.Errorf("%.40q is too large", s)
	}
	n, _ := bits.Div64(hi, lo, scale)
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("%.40q is too large", s)
	}
	return Size(n), nil
}

// String gives the shortest exact form: the largest unit that divides the size.
func (s Size) String() string {
	if s <= 0 {
		return strconv.FormatInt(int64(s), 10)
	}
	for _, u := range sizeUnits {
		if uint64(s)%u.bytes == 0 {
			return strconv.FormatUint(uint64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// MarshalText makes a Size readable in YAML and JSON.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts what ParseSize accepts.
func (s *Size) UnmarshalText(b []byte) error {
	v, err := ParseSize(string(b))
	if err == nil {
		*s = v
	}
	return err
}
