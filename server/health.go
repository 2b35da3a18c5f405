package server

import (
	"fmt"
	"net/http"
)

// healthRoutes are for whoever watches the process; they need no token and say nothing of what is inside.
func (s *Server) healthRoutes() {
	s.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	s.mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if s.draining() {
			plain(w, http.StatusServiceUnavailable, "shutting down")
			return
		}
		if s.config.Ready != nil {
			if err := s.config.Ready(r.Context()); err != nil {
				s.config.Log.Warn("not ready", "error", err)
				plain(w, http.StatusServiceUnavailable, "not ready: the log says why")
				return
			}
		}
		plain(w, http.StatusOK, "ok")
	})
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}
