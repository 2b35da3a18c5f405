package projectfile

import (
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxDuration is the longest time limit: whoever means more means none.
const maxDuration = 10 * 365 * 24 * time.Hour

var durationPart = regexp.MustCompile(`([.\d]+)\s*([a-zA-Z]*)`)

var durationUnits = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
}

// ParseDuration reads a time limit: pairs of number and unit, "1h 30m 5s", "1.5 days". The unit's first letter decides:
// s, m (minutes), h, d or w. As in Valohai, what stands between the pairs does not count. A blank text is zero.
func ParseDuration(s string) (time.Duration, error) {
	if strings.TrimSpace(s) == "" {
		return 0, nil
	}
	if strings.Contains(s, "-") {
		return 0, fmt.Errorf("%q is not a duration: it has a minus sign", clip(s))
	}
	var total float64 // nanoseconds
	for _, part := range durationPart.FindAllStringSubmatch(s, -1) {
		value, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			return 0, fmt.Errorf("%q is not a duration: %q is not a number", clip(s), clip(part[1]))
		}
		if part[2] == "" {
			return 0, fmt.Errorf("%q is not a duration: %s has no unit (s, m, h, d or w)", clip(s), clip(part[1]))
		}
		unit, known := durationUnits[strings.ToLower(part[2])[0]]
		if !known {
			return 0, fmt.Errorf("%q is not a duration: the unit %q is none of s, m, h, d and w", clip(s), clip(part[2]))
		}
		total += value * float64(unit)
	}
	if total < 1 || total > float64(maxDuration) {
		return 0, fmt.Errorf("%q is not a duration between zero and ten years", clip(s))
	}
	return time.Duration(total), nil
}

// durationOf reads a duration as the file has it: a text, or an integer of seconds.
func durationOf(s scalar) (time.Duration, error) {
	switch v := s.(type) {
	case string:
		return ParseDuration(v)
	case *big.Int:
		if v.Sign() <= 0 || v.Cmp(big.NewInt(int64(maxDuration/time.Second))) > 0 {
			return 0, fmt.Errorf("%s seconds is not a duration between zero and ten years", clip(v.String()))
		}
		return time.Duration(v.Int64()) * time.Second, nil
	}
	return 0, fmt.Errorf("a duration is a number of seconds, or a text such as \"1h 30m\"")
}
