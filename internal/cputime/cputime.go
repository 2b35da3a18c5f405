// Package cputime measures processor time, for tests that say what work may cost: by the clock they would tell of the
// machine's other work too. Only tests import it.
package cputime

import (
	"syscall"
	"time"
)

// Thread is the processor time that this thread has had (RUSAGE_THREAD of Linux); a caller locks its goroutine to it.
func Thread() time.Duration { return used(1) }

// Process is the processor time that this process has had, garbage collection included.
func Process() time.Duration { return used(syscall.RUSAGE_SELF) }

func used(who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
