package egress

import (
	"context"
	"errors"
	"io"
	"time"
)

// A body is an answer's, watched: it must make progress, and end within its bounds where it has some.
// Only time that a reader spends waiting for bytes counts, so a slow consumer is not a stalled server.
type body struct {
	inner  io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	limits Limits

	window *time.Timer // runs while a Read waits
	waited time.Duration
	got    int64

	most  int64       // bytes that may still come; -1: any number
	whole *time.Timer // of a bounded body
	where func(*Error) *Error
	kept  []byte // an error answer's body, read already
}

func newBody(ctx context.Context, cancel context.CancelCauseFunc, inner io.ReadCloser, l Limits) *body {
	b := &body{inner: inner, ctx: ctx, cancel: cancel, limits: l, most: -1, where: func(e *Error) *Error { return e }}
	b.window = time.AfterFunc(time.Hour, func() { cancel(errStalled) })
	b.window.Stop()
	return b
}

// bound limits the body to a number of bytes, 0 being no number, and to Limits.Whole.
func (b *body) bound(most int64) {
	if most > 0 {
		b.most = most
	}
	b.whole = time.AfterFunc(b.limits.Whole, func() { b.cancel(errSlow) })
}

func (b *body) Read(p []byte) (int, error) {
	start := time.Now()
	b.window.Reset(b.limits.Stall - b.waited)
	n, err := b.inner.Read(p)
	b.window.Stop()
	b.waited += time.Since(start)
	if b.got += int64(n); b.got >= b.limits.MinProgress || b.waited < 0 {
		b.got, b.waited = 0, 0
	}
	if b.most >= 0 {
		if b.most -= int64(n); b.most < 0 {
			return 0, b.where(&Error{Kind: ErrTooLarge, Detail: "its body"})
		}
	}
	if err != nil && err != io.EOF {
		err = b.where(classify(b.ctx, err))
	}
	return n, err
}

func (b *body) Close() error {
	b.window.Stop()
	if b.whole != nil {
		b.whole.Stop()
	}
	err := b.inner.Close()
	b.cancel(nil)
	if err != nil {
		return b.where(classify(context.Background(), err))
	}
	return nil
}

// An upload is a request's body, watched: the network must take a piece within the stall limit. The transport may go on
// reading a body after it has returned an answer, or an error; revoke ends that, so that whoever gave the body may use
// what it reads from again.
type upload struct {
	inner  io.ReadCloser
	length int64 // -1: not known
	stall  time.Duration
	timer  *time.Timer

	turn    chan struct{} // holds one token; who has it uses what is below
	sent    int64
	revoked bool
	closed  bool
}

func newUpload(inner io.ReadCloser, length int64, cancel context.CancelCauseFunc, stall time.Duration) *upload {
	u := &upload{inner: inner, length: length, stall: stall, turn: make(chan struct{}, 1)}
	u.timer = time.AfterFunc(time.Hour, func() { cancel(errStalled) })
	u.timer.Stop()
	u.turn <- struct{}{}
	return u
}

// uploadPiece is what the network is given at a time, in bytes: a larger piece would make a slow network a stalled one.
const uploadPiece = 16 << 10

var errRevoked = errors.New("the answer came before the request was sent in full")

// Read stops the clock while the source is asked, and starts it when the network has the next piece to send.
func (u *upload) Read(p []byte) (int, error) {
	u.timer.Stop()
	<-u.turn
	defer func() { u.turn <- struct{}{} }()
	if u.revoked || u.closed {
		if u.sent == u.length {
			return 0, io.EOF // the transport only looks whether there is more
		}
		return 0, errRevoked // not io.EOF, which would make a part of the body a whole one
	}
	n, err := u.inner.Read(p[:min(len(p), uploadPiece)])
	u.sent += int64(n)
	if err == nil {
		u.timer.Reset(u.stall)
	}
	return n, err
}

// revoke waits for a Read that is under way, unless ctx ends first, and lets no other one through.
func (u *upload) revoke(ctx context.Context) {
	u.timer.Stop()
	select {
	case <-u.turn:
		u.revoked = true
		u.timer.Stop()
		u.turn <- struct{}{}
	case <-ctx.Done():
	}
}

// Close waits for nothing: it may be called to end a Read.
func (u *upload) Close() error {
	u.timer.Stop()
	select {
	case <-u.turn:
		u.closed = true
		u.timer.Stop()
		u.turn <- struct{}{}
	default:
	}
	return u.inner.Close()
}
