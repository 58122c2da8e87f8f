package control

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"rxedge/daemon/api"
	"rxedge/daemon/supportbundle"
)

// Process is what the daemon's process says of itself.
func (c *Client) Process(ctx context.Context) (supportbundle.Process, error) {
	return plain[supportbundle.Process](ctx, c, "process", none{})
}

// Station is what the technician's page shows.
func (c *Client) Station(ctx context.Context) (st api.Station, err error) {
	body, err := c.get(ctx, "/v1/station")
	if err != nil {
		return st, err
	}
	defer body.Close()
	return st, json.NewDecoder(body).Decode(&st)
}

// Metrics in Prometheus' text form; the caller closes them.
func (c *Client) Metrics(ctx context.Context) (io.ReadCloser, error) { return c.get(ctx, "/metrics") }

// get from the public interface.
func (c *Client) get(ctx context.Context, path string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("rxedged answered %q", resp.Status)
	}
	return resp.Body, nil
}
