package audit

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"

	"github.com/portcullis-dev/portcullis/cloudevents"
	"github.com/portcullis-dev/portcullis/denials"
	"github.com/portcullis-dev/portcullis/presence"
	"github.com/portcullis-dev/portcullis/report"
)

// Service scans the cluster from time to time, and keeps reports and metrics about
// it.
type Service struct {
	// Config reaches the API server. Required.
	Config *rest.Config
	// Judge returns what to judge by now, nil while there is nothing yet. Required.
	Judge func() (Judge, error)
	// Interval is from the end of a scan to the begin of the next one. Required.
	Interval time.Duration
	// Worst bounds the findings of a report. Required.
	Worst int
	// Gaps returns when nobody was there to judge. Nil: that is not known.
	Gaps func(context.Context) ([]presence.Gap, error)
	// Denied returns the requests that were refused. Nil: they are not counted.
	Denied func(context.Context) ([]denials.Count, error)
	// Standings asks what has become of pinned images, nil: nobody does.
	Standings *Standings
	// Scanned is told of each scan, and by what it judged. Nil: nobody is.
	Scanned func(by Judge, found *Scan)
	// Latest shows each scan. Nil: nobody does.
	Latest *Latest
	// History keeps the figures of each scan. Nil: nobody does.
	History *History
	// Metrics takes the figures. Required.
	Metrics *Metrics
	// Events has the owners of workloads told what is new, by Events in the name of
	// Instance.
	Events   bool
	Instance string
	// Alerts takes what is new too. Nil: nobody does.
	Alerts *cloudevents.Sink
	// Log takes what an admin should know. Required.
	Log *slog.Logger

	// denied are those of the scan before.
	denied []denials.Count
}

// retry is how soon a scan begins that has nothing to judge by yet, or that failed.
const retry = 5 * time.Second

// maxLogged bounds what one scan says about what it cannot see; the count is a
// metric.
const maxLogged = 20

// Run scans until ctx ends. It is for one replica at a time. All memory of scans is
// that of one run.
func (s *Service) Run(ctx context.Context) {
	ctx = logr.NewContext(ctx, logr.FromSlogHandler(s.Log.Handler()))
	s.Log.Info("scanning the cluster from now on", "interval", s.Interval)
	defer s.Metrics.reset()
	s.Latest.begin()
	defer s.Latest.end()
	if err := s.run(ctx); err != nil {
		s.Log.Error("scanning the cluster", "err", err)
	}
}

func (s *Service) run(ctx context.Context) error {
	client, err := NewClient(s.Config)
	if err != nil {
		return err
	}
	s.denied = nil
	scanner := &Scanner{Pager: client}
	reports := &Reports{Writer: client, Worst: s.Worst}
	var tell []func(context.Context, *Scan)
	if s.Events {
		events := NewEvents(client, s.Instance, s.Metrics)
		tell = append(tell, func(ctx context.Context, scan *Scan) {
			if err := events.Tell(ctx, scan); err != nil && ctx.Err() == nil {
				s.Log.Warn("writing Events", "err", err)
			}
		})
	}
	if s.Alerts != nil {
		alerts := NewAlerts(s.Alerts)
		tell = append(tell, func(_ context.Context, scan *Scan) {
			alerts.Tell(scan, reports.knew)
		})
	}
	for {
		wait := s.once(ctx, scanner, reports, tell)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// once scans, reports and tells, and returns how long to wait.
func (s *Service) once(ctx context.Context, scanner *Scanner, reports *Reports, tell []func(context.Context, *Scan)) time.Duration {
	judge, err := s.Judge()
	if err != nil {
		s.failed(ctx, "making ready to scan", err)
		return s.Interval
	}
	if judge == nil {
		return min(retry, s.Interval)
	}
	scanner.Judge = judge
	scan, err := s.scan(ctx, scanner)
	if err != nil {
		s.failed(ctx, "scanning the cluster", err)
		return min(retry, s.Interval)
	}
	written, err := reports.Keep(ctx, scan)
	s.Metrics.written.Add(float64(written))
	switch {
	case errors.Is(err, ErrNoAPI):
		s.Log.Info("keeping no reports", "because", err)
	case err != nil:
		s.failed(ctx, "keeping reports", err)
	}
	s.Metrics.scanned(scan)
	s.Latest.show(scan, s.remember(ctx, scan))
	if s.Scanned != nil {
		s.Scanned(judge, scan)
	}
	s.Log.Info("scanned the cluster", "objects", scan.Objects, "workloads", len(scan.Workloads), "judged", scan.Judged,
		"unseen", len(scan.Problems)+scan.MoreProblems, "reports", written, "took", scan.Took.Round(time.Millisecond))
	for _, about := range tell {
		about(ctx, scan)
	}
	if s.Standings != nil {
		if asked := s.Standings.Ask(ctx, scan.Pinned); asked > 0 {
			s.Log.Info("asked registries about pinned images", "images", asked)
		}
	}
	return s.Interval
}

// scan scans, and adds what others know. What cannot be found out stays as it is
// known, so that nothing goes from the reports and comes back.
func (s *Service) scan(ctx context.Context, scanner *Scanner) (*Scan, error) {
	if s.Gaps != nil {
		gaps, err := s.Gaps(ctx)
		if err != nil {
			s.failed(ctx, "finding out when nobody was there to judge", err)
		} else {
			scanner.Gaps = gaps
		}
	}
	scan, err := scanner.Scan(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range scan.Problems[:min(len(scan.Problems), maxLogged)] {
		s.Log.Warn("scanning the cluster: not seen", "what", p.What, "namespace", p.Namespace, "err", p.Err)
	}
	if s.Standings != nil {
		scan.Images = s.Standings.News(scan.Pinned) // of the questions after the scan before
	}
	if s.Denied != nil {
		counts, err := s.Denied(ctx)
		if err != nil {
			s.failed(ctx, "reading the refused requests", err)
		} else {
			s.denied = counts
		}
		scan.SetDenied(s.denied)
	}
	return scan, nil
}

func (s *Service) failed(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	s.Metrics.failed.Inc()
	s.Log.Error(what, "err", err)
}

// remember keeps the figures of a scan and returns those of former ones with them.
func (s *Service) remember(ctx context.Context, scan *Scan) []report.Figures {
	if s.History == nil {
		return nil
	}
	figures, err := s.History.Add(ctx, scan.Figures())
	switch {
	case errors.Is(err, ErrNoHistory):
		s.Log.Info("keeping no figures", "because", err)
	case err != nil:
		s.failed(ctx, "keeping figures", err)
	}
	return figures
}
