// Package figure is what a benchmark says in the end: one line for each figure, for people and scripts.
package figure

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
)

// A Figure is one result. It is a ratio to a peer of the same run, a count, or a measure with a limit; less is better.
type Figure struct {
	Name  string // words with hyphens
	Value float64
	Bound float64 // the most that Value may be
}

// OK tells whether the value keeps to the bound. A value that is no number does not.
func (f Figure) OK() bool { return f.Value <= f.Bound }

// String is the line: "figure <name> <value> <bound> ok|short".
func (f Figure) String() string {
	verdict := "short"
	if f.OK() {
		verdict = "ok"
	}
	return fmt.Sprintf("figure %s %s %s %s", f.Name, number(f.Value, !f.OK()), number(f.Bound, false), verdict)
}

// number has three decimals at most, and no zeros at its end. What is above a bound stays above it.
func number(value float64, up bool) string {
	if up {
		value = math.Ceil(value*1000) / 1000
	}
	text := strconv.FormatFloat(value, 'f', 3, 64)
	for text[len(text)-1] == '0' {
		text = text[:len(text)-1]
	}
	if text[len(text)-1] == '.' {
		text = text[:len(text)-1]
	}
	return text
}

// Report writes the lines and tells whether all figures keep to their bounds; none at all do not.
func Report(w io.Writer, figures []Figure) (ok bool, err error) {
	ok = len(figures) > 0
	for _, f := range figures {
		ok = ok && f.OK()
		if _, err := fmt.Fprintln(w, f); err != nil {
			return false, err
		}
	}
	return ok, nil
}

// Median is the middle value; of an even number, the mean of the two in the middle; of none, 0.
func Median[T ~int64 | ~float64](values []T) T {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Ratio is how many times the median of the peer's runs the median of ours is. Without a peer's it is no number.
func Ratio[T ~int64 | ~float64](ours, peers []T) float64 {
	peer := Median(peers)
	if peer <= 0 || len(ours) == 0 {
		return math.NaN()
	}
	return float64(Median(ours)) / float64(peer)
}
