// SPDX-License-Identifier: Apache-2.0
package org.ioasis.page;

import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Semaphore;
import org.ioasis.iommu.DomainView;
import org.ioasis.live.MachineView;
import org.ioasis.live.Planting;
import org.ioasis.live.Unsigned;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.memory.Ranges;
import org.ioasis.web.WebAnswer;
import org.ioasis.web.WebCounts;
import org.ioasis.web.WebRequest;
import org.ioasis.web.WebServer;
import org.ioasis.web.WebStream;

/**
 * Running machines as a page for a browser on this machine. What it shows comes as a stream of
 * events; a part of a domain's address space is asked for. It changes nothing but what failures are
 * planted.
 *
 * <p>Started and closed by one thread; answers on those of its web server.
 */
public final class Page implements AutoCloseable {
    /** Parts of address spaces that are looked at side by side; more are told to come again. */
    static final int MAPS_MAX = 2;

    private static final int TOKEN_BYTES = 24;
    private static final int TICK_MILLIS = 250;
    private static final long NANOS_PER_MILLI = 1_000_000;
    private static final int TICKS_PER_STATE = 4;

    /** Entries that one message brings; of those that are more the oldest are left out. */
    private static final int ENTRIES_MAX = 400;

    private static final int DOMAINS_MAX = 64;
    private static final int BUCKETS = 512;

    private static final Map<String, String> TYPES =
            Map.of(
                    "index.html", "text/html; charset=utf-8",
                    "page.css", "text/css; charset=utf-8",
                    "page.js", "text/javascript; charset=utf-8",
                    "map.js", "text/javascript; charset=utf-8",
                    "plot.js", "text/javascript; charset=utf-8",
                    "icon.svg", "image/svg+xml; charset=utf-8");

    private static final System.Logger LOG = System.getLogger("org.ioasis.page");

    /** Who looks, and how far it has been told. */
    private static final class Viewer {
        final WebStream stream;
        boolean isNew = true;
        long number;
        long millis;

        Viewer(WebStream stream) {
            this.stream = stream;
        }
    }

    private final List<Machine> machines;
    private final Map<String, String> files = new HashMap<>();
    private final Watch watch;
    private final Rates rates;
    private final Semaphore maps = new Semaphore(MAPS_MAX);
    private final Thread teller;
    private final WebServer server;

    // Under the lock of this object.
    private final List<Viewer> arrived = new ArrayList<>();
    private boolean isClosing;

    private Page(List<Machine> machines, int port) throws IOException {
        this.machines = List.copyOf(machines);
        watch = new Watch(this.machines, InstantSource.system());
        rates = new Rates(this.machines, watch, System::nanoTime);
        for (String name : TYPES.keySet()) {
            try (InputStream in = Page.class.getResourceAsStream(name)) {
                if (in == null) {
                    throw new IOException("the page's " + name + " is not there");
                }
                files.put(name, new String(in.readAllBytes(), StandardCharsets.UTF_8));
            }
        }
        teller = Thread.ofPlatform().name("page").daemon().unstarted(this::tell);
        byte[] token = new byte[TOKEN_BYTES];
        new SecureRandom().nextBytes(token);
        server =
                WebServer.start(
                        "page-web",
                        port,
                        Base64.getUrlEncoder().withoutPadding().encodeToString(token),
                        this::answer);
    }

    /**
     * Shows machines from now on.
     *
     * @param port of the loopback interface; 0: one that is free
     * @throws IOException the port cannot be had
     */
    public static Page start(List<Machine> machines, int port) throws IOException {
        Page page = new Page(machines, port);
        page.teller.start();
        return page;
    }

    /** Where to look, with the token. Whoever has it sees all and may plant failures. */
    public String address() {
        return server.address();
    }

    /** What its web server has done. Any thread. */
    public WebCounts counts() {
        return server.counts();
    }

    /** Entries that more happened than could be looked at. Any thread. */
    public long lost() {
        return watch.lost();
    }

    /** How many parts of address spaces could be looked at now. Any thread. */
    int mapsLeft() {
        return maps.availablePermits();
    }

    /** True while somebody looks. Any thread. */
    boolean isWatching() {
        return watch.isOn();
    }

    /** Ends all. Twice is fine. */
    @Override
    public void close() {
        synchronized (this) {
            isClosing = true;
            notifyAll();
        }
        server.close();
        boolean isInterrupted = false;
        try {
            teller.join();
        } catch (InterruptedException e) {
            isInterrupted = true;
        }
        if (isInterrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private WebAnswer answer(WebRequest request) {
        if (request.method().equals("POST")) {
            return request.path().equals("/inject")
                    ? inject(request)
                    : WebAnswer.text(405, "nothing is asked so but to plant a failure");
        }
        return switch (request.path()) {
            case "/events" -> new WebAnswer.Events(this::arrive);
            case "/map" -> map(request);
            case "/" -> file("index.html");
            default -> file(request.path().substring(1));
        };
    }

    private WebAnswer file(String name) {
        String type = TYPES.get(name);
        String content = files.get(name);
        return type == null || content == null
                ? WebAnswer.text(404, "there is no such thing")
                : new WebAnswer.Whole(200, type, content);
    }

    private static WebAnswer json(int status, String content) {
        return new WebAnswer.Whole(status, "application/json; charset=utf-8", content);
    }

    // Failures
    // ---------------------------------------------------------------------------------------------

    /** Only from a page of ours, and with the word that its user has confirmed it. */
    private WebAnswer inject(WebRequest request) {
        URI own = URI.create(server.address());
        if (!request.origin().equals(own.getScheme() + "://" + own.getAuthority())) {
            return json(403, PageJson.words(false, "only from the page itself"));
        }
        if (!request.field("confirmed").equals("yes")) {
            return json(400, PageJson.words(false, "not confirmed"));
        }
        Planting.Outcome outcome =
                Planting.plant(
                        machines,
                        request.field("iommu"),
                        request.field("name"),
                        request.field("value"));
        int status =
                switch (outcome.status()) {
                    case 0 -> 200;
                    case 1 -> 503;
                    default -> 400;
                };
        return json(status, PageJson.words(outcome.status() == 0, outcome.text()));
    }

    // Address spaces
    // ---------------------------------------------------------------------------------------------

    private WebAnswer map(WebRequest request) {
        for (Machine machine : machines) {
            for (IommuUnit unit : machine.iommus()) {
                String who = machine.name() + "/" + unit.name();
                if (who.equals(request.parameter("iommu"))) {
                    return map(request, machine, unit, who);
                }
            }
        }
        return json(404, PageJson.words(false, "there is no such IOMMU"));
    }

    private WebAnswer map(WebRequest request, Machine machine, IommuUnit unit, String who) {
        int domain;
        long first = 0;
        long last = -1;
        int buckets = BUCKETS;
        boolean isWhole = request.parameter("first").isEmpty();
        try {
            domain = (int) Unsigned.parse(request.parameter("domain"), 0xffff_ffffL);
            if (!isWhole) {
                first = Unsigned.parse(request.parameter("first"));
                last = Unsigned.parse(request.parameter("last"));
            }
            if (!request.parameter("buckets").isEmpty()) {
                buckets = (int) Unsigned.parse(request.parameter("buckets"), DomainMap.BUCKETS_MAX);
            }
        } catch (NumberFormatException e) {
            return json(400, PageJson.words(false, String.valueOf(e.getMessage())));
        }
        if (Ranges.isBelow(last, first)) {
            return json(400, PageJson.words(false, "the range ends before it starts"));
        }
        if (buckets < DomainMap.BUCKETS_MIN) {
            return json(400, PageJson.words(false, "a map has two buckets and more"));
        }
        if (!maps.tryAcquire()) {
            return json(503, PageJson.words(false, "others are being looked at: try again"));
        }
        try {
            if (isWhole) {
                long[] extent = DomainMap.extent(machine, unit, domain);
                if (extent.length == 2) {
                    first = extent[0];
                    last = extent[1];
                }
            }
            DomainMap map = DomainMap.of(machine, unit, domain, first, last, buckets);
            watch.drain();
            return json(
                    200,
                    PageJson.map(
                            map,
                            endpoints(machine, unit, domain),
                            watch.unmaps(who),
                            watch.faultsAfter(0).stream()
                                    .filter(one -> one.timed().who().equals(who))
                                    .toList()));
        } finally {
            maps.release();
        }
    }

    private static Set<Integer> endpoints(Machine machine, IommuUnit unit, int domain) {
        Set<Integer> ids = new TreeSet<>();
        boolean _ =
                machine.onLoop(() -> {
                    for (DomainView view : unit.engine().domains(DOMAINS_MAX, 0)) {
                        if (view.id() == Integer.toUnsignedLong(domain)) {
                            ids.addAll(view.endpoints());
                        }
                    }
                });
        return ids;
    }

    // Telling those who look
    // ---------------------------------------------------------------------------------------------

    private synchronized void arrive(WebStream stream) {
        arrived.add(new Viewer(stream));
        notifyAll();
    }

    /** Waits for somebody to look, with nothing to do until then; empty when all is over. */
    private synchronized List<Viewer> waitForViewers(boolean isLooking) {
        try {
            long end = System.nanoTime() + TICK_MILLIS * NANOS_PER_MILLI;
            while (!isClosing && arrived.isEmpty()) {
                long left = (end - System.nanoTime()) / NANOS_PER_MILLI;
                if (isLooking && left <= 0) {
                    break;
                }
                wait(isLooking ? left : 0);
            }
        } catch (InterruptedException e) {
            isClosing = true;
        }
        List<Viewer> come = List.copyOf(arrived);
        arrived.clear();
        return come;
    }

    private synchronized boolean isClosing() {
        return isClosing;
    }

    private void tell() {
        List<Viewer> viewers = new ArrayList<>();
        for (int tick = 0; !isClosing(); tick++) {
            List<Viewer> come = waitForViewers(!viewers.isEmpty());
            if (viewers.isEmpty() && !come.isEmpty()) {
                watch.begin();
            }
            viewers.addAll(come);
            try {
                tell(viewers, tick);
            } catch (RuntimeException e) {
                LOG.log(System.Logger.Level.ERROR, "the page was not told what there is", e);
            }
            viewers.removeIf(viewer -> !viewer.stream.isOpen());
            if (viewers.isEmpty()) {
                watch.end();
                rates.clear();
            }
        }
        watch.end();
    }

    private void tell(List<Viewer> viewers, int tick) {
        watch.drain();
        boolean isTime = tick % TICKS_PER_STATE == 0;
        String state = "";
        for (Viewer viewer : viewers) {
            if (isTime || viewer.isNew) {
                state =
                        PageJson.state(
                                machines.stream()
                                        .map(machine -> MachineView.of(machine, 0))
                                        .toList(),
                                server.counts(),
                                watch.lost());
                break;
            }
        }
        if (isTime) {
            rates.take(System.currentTimeMillis());
        }
        for (Viewer viewer : viewers) {
            tell(viewer, state);
        }
    }

    private void tell(Viewer viewer, String state) {
        List<Watch.Numbered> requests = last(watch.requestsAfter(viewer.number));
        List<Watch.Numbered> faults = watch.faultsAfter(viewer.number);
        Map<String, List<Rates.Sample>> samples = rates.after(viewer.millis);
        if (state.isEmpty() && requests.isEmpty() && faults.isEmpty()) {
            return;
        }
        if (viewer.stream.offer("look", PageJson.message(state, samples, requests, faults))) {
            viewer.isNew = false;
            for (List<Watch.Numbered> sent : List.of(requests, faults)) {
                if (!sent.isEmpty()) {
                    viewer.number = Math.max(viewer.number, sent.getLast().number());
                }
            }
            viewer.millis =
                    samples.values().stream()
                            .flatMap(List::stream)
                            .mapToLong(Rates.Sample::millis)
                            .max()
                            .orElse(viewer.millis);
        }
    }

    private static List<Watch.Numbered> last(List<Watch.Numbered> entries) {
        return entries.size() <= ENTRIES_MAX
                ? entries
                : entries.subList(entries.size() - ENTRIES_MAX, entries.size());
    }
}
