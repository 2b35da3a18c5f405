package api_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"pierhead.dev/pierhead"
	"pierhead.dev/pierhead/api"
)

// One table serves both sides: the kind that goes into an envelope comes out of it, with its text and hint.
func TestStatusOfEveryKind(t *testing.T) {
	for _, test := range []struct {
		kind error
		want api.Status
	}{
		{api.ErrUnauthenticated, api.Status{Code: "unauthenticated", HTTP: 401, Exit: 4}},
		{pierhead.ErrPull, api.Status{Code: "pull", HTTP: 424, Exit: 7}},
		{pierhead.ErrBadInput, api.Status{Code: "bad_input", HTTP: 400, Exit: 2}},
		{pierhead.ErrNotFound, api.Status{Code: "not_found", HTTP: 404, Exit: 3}},
		{pierhead.ErrNotAllowed, api.Status{Code: "not_allowed", HTTP: 403, Exit: 4}},
		{pierhead.ErrConflict, api.Status{Code: "conflict", HTTP: 409, Exit: 5}},
		{pierhead.ErrUnreachable, api.Status{Code: "unreachable", HTTP: 503, Exit: 6}},
		{errors.New("the disk said 'key material follows'"), api.Status{Code: "internal", HTTP: 500, Exit: 1}},
		{context.Canceled, api.Status{Code: "internal", HTTP: 500, Exit: 1}},
		{nil, api.Status{HTTP: 200}},
	} {
		if got := api.StatusOf(test.kind); got != test.want {
			t.Errorf("%v: %+v, not %+v", test.kind, got, test.want)
		}
		if got := api.StatusOf(fmt.Errorf("wrapped: %w", test.kind)); test.kind != nil && got != test.want {
			t.Errorf("%v, wrapped: %+v, not %+v", test.kind, got, test.want)
		}
	}
}

func TestInternalErrorsAreNotShown(t *testing.T) {
	_, envelope := api.ErrorOf(errors.New("secret of registry x: hunter2"))
	if envelope.Error.Code != "internal" || envelope.Error.Message != "the server made a mistake" {
		t.Errorf("envelope is %+v", envelope)
	}
}
