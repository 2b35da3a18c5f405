package main

import (
	"errors"
	"fmt"
	"strconv"
	"testing"

	"pierhead.dev/pierhead"
)

// Regression: --limit stopped at one page of the server's, and nothing led to what was older.
func TestPages(t *testing.T) {
	for _, test := range []struct{ there, limit, want, asked int }{
		{0, 50, 0, 1}, {30, 50, 30, 1}, {80, 50, 50, 1}, {1300, 0, 1300, 7}, {1300, 700, 700, 4}, {1000, 0, 1000, 6}, {1000, 1000, 1000, 5}, {0, 0, 0, 1},
	} {
		asked := 0
		got, err := pages(test.limit, strconv.Itoa, func(before string, size int) (page []int, err error) {
			asked++
			newest := test.there
			if before != "" {
				newest, err = strconv.Atoi(before)
			}
			for n := newest - 1; n >= 0 && len(page) < size; n-- {
				page = append(page, n)
			}
			return page, err
		})
		if err != nil || len(got) != test.want || asked != test.asked {
			t.Errorf("%d of %d: %d in %d pages, %v", test.limit, test.there, len(got), asked, err)
		}
		for i, n := range got {
			if n != test.there-1-i {
				t.Fatalf("%d of %d: number %d is %d", test.limit, test.there, i, n)
			}
		}
	}
	broken := fmt.Errorf("broken")
	if _, err := pages(0, strconv.Itoa, func(string, int) ([]int, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := pages(-1, strconv.Itoa, nil); !errors.Is(err, pierhead.ErrBadInput) {
		t.Error(err)
	}
}
