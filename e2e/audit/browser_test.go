package audit_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is Chromium: $CHROMIUM, else one on the PATH; report/chromium/ensure installs
// one.
func browser(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("there is no Chromium on the PATH: run report/chromium/ensure, or set CHROMIUM to the path of one")
	return ""
}

// requirePage opens a page as `portcullis serve` serves it, with all its headers, and
// requires that it works, says nothing on the console and asks for nothing. $SCREENSHOTS
// takes pictures.
func requirePage(t *testing.T, url, finding string) {
	t.Helper()
	allocator, stop := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browser(t)), chromedp.NoSandbox)...)
	defer stop()
	ctx, stopTab := chromedp.NewContext(allocator)
	defer stopTab()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var mutex sync.Mutex
	var complaints, requests []string
	err := chromedp.Listen(ctx, func(event any) {
		mutex.Lock()
		defer mutex.Unlock()
		switch e := event.(type) {
		case *runtime.EventConsoleAPICalled:
			complaints = append(complaints, string(e.Type))
		case *runtime.EventExceptionThrown:
			complaints = append(complaints, e.ExceptionDetails.Text)
		case *log.EventEntryAdded: // violations of the policy are here
			complaints = append(complaints, e.Entry.Text)
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, "data:") {
				requests = append(requests, e.Request.URL)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 1600), chromedp.Navigate(url), chromedp.SendKeys("#text", finding), chromedp.Sleep(300*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	const objects = `[...document.querySelectorAll(".object:not([hidden]) h3")].map((o) => o.textContent).join("; ")`
	shown, err := chromedp.Run(ctx, chromedp.Evaluate[string](objects))
	if err != nil || !strings.HasSuffix(shown, finding) || strings.Contains(shown, ";") {
		t.Errorf("got the objects %q (%v) for the text %q, want one", shown, err, finding)
	}
	if folder := os.Getenv("SCREENSHOTS"); folder != "" {
		picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, "live.png"), picture, 0o600)
		}
		if err != nil {
			t.Error(err)
		}
	}
	mutex.Lock()
	defer mutex.Unlock()
	if len(complaints) > 0 || len(requests) != 1 {
		t.Errorf("got messages %q and requests %q, want none but for the page", complaints, requests)
	}
}
