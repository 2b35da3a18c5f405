package server

import (
	"context"
	"net/http"
	"time"

	"pierhead.dev/pierhead"
)

// logPiece is how many bytes of log are read from the store at once.
const logPiece = 64 << 10

type readLog struct {
	executionPath
	Offset int64 `query:"offset" doc:"The byte to begin at: what was read so far, to resume."`
	Follow bool  `query:"follow" doc:"Whether to stay until the execution is final and all of its log is sent."`
}

// recheckAfter is how long a stream goes on before its token is looked at again: a revoked one ends it.
const recheckAfter = time.Minute

// readLog sends the log as it is, and with follow what comes after, piece by piece. A shutdown ends the stream early;
// the client sees from the execution that there is more, and resumes.
func (s *Server) readLog(c pierhead.Caller, in readLog, w http.ResponseWriter, r *http.Request) error {
	first, checked := true, s.config.Now()
	for {
		changed := s.config.Store.Changed()
		if now := s.config.Now(); now.Sub(checked) > recheckAfter {
			var err error
			if c, err = s.authenticate(r, operation{}); err != nil {
				return err
			}
			checked = now
		}
		piece, final, err := s.nextPiece(r.Context(), c, in)
		if err != nil {
			return err
		}
		if first {
			first = false
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.Header().Set("X-Accel-Buffering", "no") // nginx would hold the stream back
			w.WriteHeader(http.StatusOK)
		}
		if err := sendPiece(w, piece); err != nil {
			return nil // the client went away
		}
		in.Offset += int64(len(piece))
		if len(piece) > 0 {
			continue
		}
		if !in.Follow || final {
			return nil
		}
		select {
		case <-changed:
		case <-s.drain:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}

// nextPiece reads the state before the log: a final execution whose log ends here has no more of it.
func (s *Server) nextPiece(ctx context.Context, c pierhead.Caller, in readLog) (piece []byte, final bool, err error) {
	execution, err := s.config.Store.Execution(ctx, c, in.Execution)
	if err != nil {
		return nil, false, err
	}
	piece, err = s.config.Store.ExecutionLog(ctx, c, in.Execution, in.Offset, logPiece)
	return piece, execution.Progress.State.Final(), err
}

// sendPiece writes and flushes; an empty piece sends the headers, so that a client knows at once that it is served.
func sendPiece(w http.ResponseWriter, piece []byte) error {
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := w.Write(piece); err != nil {
		return err
	}
	if err := control.Flush(); err != nil {
		return err
	}
	_ = control.SetWriteDeadline(time.Time{})
	return nil
}
