package acr

import (
	"context"
	"time"
)

// Expiry is expiry.
var Expiry = expiry

// PauseWith has the exchanger wait by another clock.
func (e *Exchanger) PauseWith(pause func(context.Context, time.Duration) error) { e.pause = pause }
