package server

import "net/http"

func deleteTag(w http.ResponseWriter, c *call) error {
	return accepted(w, c.registry.DeleteTag(c.ctx(), c.Repository, c.Reference))
}

func deleteManifest(w http.ResponseWriter, c *call) error {
	return accepted(w, c.registry.DeleteManifest(c.ctx(), c.Repository, c.Digest))
}

func deleteBlob(w http.ResponseWriter, c *call) error {
	return accepted(w, c.registry.DeleteBlob(c.ctx(), c.Repository, c.Digest))
}

func accepted(w http.ResponseWriter, err error) error {
	if err != nil {
		return err
	}
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusAccepted)
	return nil
}
