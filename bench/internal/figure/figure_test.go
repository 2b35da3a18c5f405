package figure

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{5, 1}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 100, 2}, 3}} {
		if got := Median(c.values); got != c.want {
			t.Errorf("the median of %v is %v, not %v", c.values, got, c.want)
		}
	}
	values := []time.Duration{3 * time.Second, time.Second, 2 * time.Second}
	if got := Median(values); got != 2*time.Second || values[0] != 3*time.Second {
		t.Errorf("%v, and the values are %v now", got, values)
	}
}

func TestRatio(t *testing.T) {
	if got := Ratio([]time.Duration{3, 30, 2}, []time.Duration{2, 2}); got != 1.5 {
		t.Errorf("got %v", got)
	}
	for _, nothing := range []float64{Ratio([]float64{1}, nil), Ratio(nil, []float64{1}), Ratio([]float64{1}, []float64{0})} {
		if !math.IsNaN(nothing) || (Figure{Value: nothing, Bound: 1}).OK() {
			t.Errorf("%v of nothing is a result", nothing)
		}
	}
}

func TestFigure(t *testing.T) {
	for _, c := range []struct {
		figure Figure
		want   string
	}{
		{Figure{"start", 1.4567, 1.6}, "figure start 1.457 1.6 ok"},
		{Figure{"start", 1.6, 1.6}, "figure start 1.6 1.6 ok"},
		{Figure{"start", 1.60001, 1.6}, "figure start 1.601 1.6 short"},
		{Figure{"failed", 0, 0}, "figure failed 0 0 ok"},
		{Figure{"memory", 1200, 1024}, "figure memory 1200 1024 short"},
		{Figure{"lost", math.NaN(), 2}, "figure lost NaN 2 short"},
	} {
		if got := c.figure.String(); got != c.want {
			t.Errorf("%q, not %q", got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	good, bad := Figure{"a", 1, 1}, Figure{"b", 2, 1}
	for _, c := range []struct {
		figures []Figure
		ok      bool
	}{{nil, false}, {[]Figure{good}, true}, {[]Figure{bad, good}, false}} {
		var text strings.Builder
		ok, err := Report(&text, c.figures)
		if ok != c.ok || err != nil || strings.Count(text.String(), "\n") != len(c.figures) {
			t.Errorf("%v: %v, %v\n%s", c.figures, ok, err, text.String())
		}
	}
}
