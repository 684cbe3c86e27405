// SPDX-License-Identifier: Apache-2.0
package org.ioasis.web;

import java.io.IOException;
import java.net.BindException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.eclipse.jetty.http.HttpField;
import org.eclipse.jetty.http.HttpFields;
import org.eclipse.jetty.http.HttpHeader;
import org.eclipse.jetty.http.HttpStatus;
import org.eclipse.jetty.io.Connection;
import org.eclipse.jetty.io.Content;
import org.eclipse.jetty.server.Handler;
import org.eclipse.jetty.server.HttpConfiguration;
import org.eclipse.jetty.server.HttpConnectionFactory;
import org.eclipse.jetty.server.Request;
import org.eclipse.jetty.server.Response;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.util.Callback;
import org.eclipse.jetty.util.Promise;
import org.eclipse.jetty.util.thread.Invocable;
import org.eclipse.jetty.util.thread.QueuedThreadPool;
import org.jspecify.annotations.Nullable;

/**
 * Serves HTTP on the loopback interface, with threads of its own. Nothing that a client does is
 * without a bound: connections, event streams, bytes of headers and of a body, time without a byte.
 * Where there is a token, it is the first part of each path, and who does not know it gets nothing.
 *
 * <p>Started and closed by one thread; the counters are for any.
 */
public final class WebServer implements AutoCloseable {
    /** Connections that may be open; more are closed as they come. */
    static final int CONNECTIONS_MAX = 32;

    /** Event streams that may be open. */
    static final int STREAMS_MAX = 8;

    /** Bytes of a request's first line and headers. */
    static final int HEADERS_MAX = 8192;

    /** Bytes of a request's body. */
    static final int BODY_MAX = 4096;

    /** A connection on which no byte moves for so long is closed. */
    static final int IDLE_MILLIS = 5_000;

    private static final int THREADS_MAX = 8;
    private static final String LOOPBACK = "127.0.0.1";

    /** By what names a browser of this machine's may know it, so that no other name leads here. */
    private static final Set<String> NAMES = Set.of(LOOPBACK, "localhost", "[::1]");

    private static final String POLICY =
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
                    + " base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

    private static final System.Logger LOG = System.getLogger("org.ioasis.web");

    private final Server server;
    private final ServerConnector connector;
    private final byte @Nullable [] token;
    private final WebHandler handler;

    private final AtomicInteger connections = new AtomicInteger();
    private final AtomicLong connectionsRefused = new AtomicLong();
    private final AtomicLong requests = new AtomicLong();
    private final AtomicLong requestsRefused = new AtomicLong();
    private final AtomicInteger streams = new AtomicInteger();
    private final AtomicLong streamsRefused = new AtomicLong();
    private final AtomicLong eventsSkipped = new AtomicLong();

    private WebServer(String name, int port, @Nullable String token, WebHandler handler) {
        this.token = token == null ? null : token.getBytes(StandardCharsets.UTF_8);
        this.handler = handler;
        QueuedThreadPool threads = new QueuedThreadPool(THREADS_MAX, 1);
        threads.setName(name);
        threads.setDaemon(true);
        threads.setReservedThreads(0);
        server = new Server(threads);
        HttpConfiguration http = new HttpConfiguration();
        http.setSendServerVersion(false);
        http.setRequestHeaderSize(HEADERS_MAX);
        connector = new ServerConnector(server, 1, 1, new HttpConnectionFactory(http));
        connector.setHost(LOOPBACK);
        connector.setPort(port);
        connector.setIdleTimeout(IDLE_MILLIS);
        connector.addBean(new Doorman());
        server.addConnector(connector);
        server.setHandler(new Entrance());
        server.setErrorHandler((request, response, callback) -> {
            refuse(response, callback, response.getStatus());
            return true;
        });
    }

    /**
     * Serves from now on.
     *
     * @param name of its threads
     * @param port 0: one that is free
     * @param token that each path begins with, or null if everybody on this machine may ask
     * @throws IOException the port cannot be had
     */
    public static WebServer start(String name, int port, @Nullable String token, WebHandler handler)
            throws IOException {
        WebServer started = new WebServer(name, port, token, handler);
        boolean isStarted = false;
        try {
            started.server.start();
            isStarted = true;
            return started;
        } catch (Exception e) {
            throw new IOException(
                    (e.getCause() instanceof BindException
                                    ? "somebody has port %d of %s already; name another"
                                    : "cannot serve at port %d of %s")
                            .formatted(port, LOOPBACK),
                    e);
        } finally {
            if (!isStarted) {
                started.close();
            }
        }
    }

    /** Where it is served, with the token if there is one, and a slash at the end. */
    public String address() {
        String base = "http://%s:%d/".formatted(LOOPBACK, connector.getLocalPort());
        return token == null ? base : base + new String(token, StandardCharsets.UTF_8) + "/";
    }

    /** What it has done so far. Any thread. */
    public WebCounts counts() {
        return new WebCounts(
                connections.get(),
                connectionsRefused.get(),
                requests.get(),
                requestsRefused.get(),
                streams.get(),
                streamsRefused.get(),
                eventsSkipped.get());
    }

    /** Ends all connections. Twice is fine. */
    @Override
    public void close() {
        try {
            server.stop();
        } catch (Exception e) {
            LOG.log(System.Logger.Level.WARNING, "a web server did not end as it should", e);
        }
    }

    /** Takes the number of increments that fit below a limit; false if none does. */
    private static boolean take(AtomicInteger count, int limit) {
        int now = count.get();
        while (now < limit) {
            if (count.compareAndSet(now, now + 1)) {
                return true;
            }
            now = count.get();
        }
        return false;
    }

    /** Closes the connections that are too many. */
    private final class Doorman implements Connection.Listener {
        private final Set<Connection> admitted = ConcurrentHashMap.newKeySet();

        @Override
        public void onOpened(Connection connection) {
            if (take(connections, CONNECTIONS_MAX)) {
                admitted.add(connection);
            } else {
                connectionsRefused.incrementAndGet();
                connection.getEndPoint().close();
            }
        }

        @Override
        public void onClosed(Connection connection) {
            if (admitted.remove(connection)) {
                connections.decrementAndGet();
            }
        }
    }

    /** Looks at a request before anybody else does. */
    private final class Entrance extends Handler.Abstract {
        @Override
        public boolean handle(Request request, Response response, Callback callback) {
            requests.incrementAndGet();
            String method = request.getMethod();
            if (!method.equals("GET") && !method.equals("POST")) {
                response.getHeaders().put(HttpHeader.ALLOW, "GET, POST");
                refuse(response, callback, HttpStatus.METHOD_NOT_ALLOWED_405);
                return true;
            }
            if (!NAMES.contains(Request.getServerName(request))) {
                refuse(response, callback, HttpStatus.MISDIRECTED_REQUEST_421);
                return true;
            }
            String path = within(request.getHttpURI().getPath());
            if (path == null) {
                refuse(response, callback, HttpStatus.FORBIDDEN_403);
                return true;
            }
            if (method.equals("GET")) {
                answer(request, path, "", response, callback);
                return true;
            }
            // The body comes when it comes, and keeps no thread until then.
            Content.Source.asByteArrayAsync(
                    request,
                    BODY_MAX,
                    Promise.Invocable.from(
                            Invocable.InvocationType.BLOCKING,
                            body ->
                                    answer(
                                            request,
                                            path,
                                            new String(body, StandardCharsets.UTF_8),
                                            response,
                                            callback),
                            _ -> refuse(response, callback, HttpStatus.PAYLOAD_TOO_LARGE_413)));
            return true;
        }
    }

    /** The path without its token; null if that is not ours. Takes as long whatever is wrong. */
    private @Nullable String within(@Nullable String path) {
        byte[] wanted = token;
        if (path == null || wanted == null) {
            return path;
        }
        int end = path.indexOf('/', 1);
        String first = path.isEmpty() ? "" : path.substring(1, end < 0 ? path.length() : end);
        boolean isOurs = MessageDigest.isEqual(wanted, first.getBytes(StandardCharsets.UTF_8));
        return isOurs && end > 0 ? path.substring(end) : null;
    }

    private void answer(
            Request request, String path, String body, Response response, Callback callback) {
        HttpFields headers = request.getHeaders();
        String query = request.getHttpURI().getQuery();
        String origin = headers.get(HttpHeader.ORIGIN);
        WebAnswer answer;
        try {
            answer =
                    handler.answer(
                            new WebRequest(
                                    request.getMethod(),
                                    path,
                                    query == null ? "" : query,
                                    origin == null ? "" : origin,
                                    body));
        } catch (RuntimeException e) {
            LOG.log(System.Logger.Level.ERROR, "a request was not answered", e);
            refuse(response, callback, HttpStatus.INTERNAL_SERVER_ERROR_500);
            return;
        }
        switch (answer) {
            case WebAnswer.Whole(int status, String type, String content) ->
                    send(response, callback, status, type, content);
            case WebAnswer.Events events -> open(events, request, response, callback);
        }
    }

    private void open(
            WebAnswer.Events events, Request request, Response response, Callback callback) {
        if (!take(streams, STREAMS_MAX)) {
            streamsRefused.incrementAndGet();
            refuse(response, callback, HttpStatus.SERVICE_UNAVAILABLE_503);
            return;
        }
        WebStream stream =
                new WebStream(
                        response,
                        callback,
                        eventsSkipped::incrementAndGet,
                        streams::decrementAndGet);
        request.addFailureListener(stream::failed);
        head(response, HttpStatus.OK_200, "text/event-stream; charset=utf-8");
        events.opened().accept(stream);
    }

    private void refuse(Response response, Callback callback, int status) {
        requestsRefused.incrementAndGet();
        send(
                response,
                callback,
                status,
                "text/plain; charset=utf-8",
                HttpStatus.getMessage(status) + "\n");
    }

    private static void send(
            Response response, Callback callback, int status, String type, String content) {
        byte[] bytes = content.getBytes(StandardCharsets.UTF_8);
        head(response, status, type);
        response.getHeaders().put(HttpHeader.CONTENT_LENGTH, bytes.length);
        response.write(true, ByteBuffer.wrap(bytes), callback);
    }

    private static void head(Response response, int status, String type) {
        response.setStatus(status);
        HttpFields.Mutable headers = response.getHeaders();
        headers.put(HttpHeader.CONTENT_TYPE, type);
        headers.put(HttpHeader.CACHE_CONTROL, "no-store");
        headers.put(new HttpField("Content-Security-Policy", POLICY));
        headers.put(new HttpField("Referrer-Policy", "no-referrer"));
        headers.put(new HttpField("X-Content-Type-Options", "nosniff"));
        headers.put(new HttpField("Cross-Origin-Resource-Policy", "same-origin"));
    }
}
