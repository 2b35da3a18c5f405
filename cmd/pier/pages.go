package main

import (
	"pierhead.dev/pierhead"
)

// pageSize is how much of a list is asked for at once: the server gives as much of every one, and an answer of
// executions with long commands stays readable.
const pageSize = 200

// pages reads a list that the server gives in pages, newest first, until there are limit of it; 0 is all of it. page is
// asked for what is older than an ID, and size at most.
func pages[T any](limit int, id func(T) string, page func(before string, size int) ([]T, error)) ([]T, error) {
	if limit < 0 {
		return nil, pierhead.NewProblem(pierhead.ErrBadInput, "--limit is less than 0", "say how many at most, or 0 for all")
	}
	all := []T{}
	before := ""
	for {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		next, err := page(before, size)
		if err != nil {
			return nil, err
		}
		all = append(all, next...)
		if len(next) < size || len(all) == limit {
			return all, nil
		}
		before = id(next[len(next)-1])
	}
}
