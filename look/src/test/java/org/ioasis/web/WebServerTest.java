// SPDX-License-Identifier: Apache-2.0
package org.ioasis.web;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Predicate;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What clients can do to a web server, asked over plain sockets. */
class WebServerTest {
    private static final String TOKEN = "s3cret-token";

    private final List<WebRequest> asked = new CopyOnWriteArrayList<>();
    private final List<WebStream> streams = new CopyOnWriteArrayList<>();
    private final List<Socket> sockets = new ArrayList<>();
    private WebServer server;

    @BeforeEach
    void start() throws IOException {
        server = WebServer.start("web-test", 0, TOKEN, this::answer);
    }

    @AfterEach
    void close() throws IOException {
        for (Socket socket : sockets) {
            socket.close();
        }
        server.close();
        server.close();
    }

    private WebAnswer answer(WebRequest request) {
        asked.add(request);
        return request.path().equals("/events")
                ? new WebAnswer.Events(streams::add)
                : WebAnswer.text(200, "it is " + request.body());
    }

    private int port() {
        return URI.create(server.address()).getPort();
    }

    private Socket connect() throws IOException {
        Socket socket = new Socket(InetAddress.getLoopbackAddress(), port());
        sockets.add(socket);
        return socket;
    }

    private static void send(Socket socket, String text) throws IOException {
        socket.getOutputStream().write(text.getBytes(StandardCharsets.ISO_8859_1));
    }

    /** The answer to one request; the connection ends with it. */
    private String ask(String line, String headers, String body) throws IOException {
        Socket socket = connect();
        send(
                socket,
                "%s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s\r\n%s"
                        .formatted(line, headers, body));
        return new String(socket.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1);
    }

    private String ask(String line) throws IOException {
        return ask(line, "", "");
    }

    private WebCounts await(Predicate<WebCounts> condition) throws InterruptedException {
        while (!condition.test(server.counts())) {
            Thread.sleep(5);
        }
        return server.counts();
    }

    @Test
    void pathsBeginWithTheTokenAndAreHandedOnWithoutIt() throws IOException {
        assertThat(server.address()).isEqualTo("http://127.0.0.1:%d/%s/".formatted(port(), TOKEN));
        assertThat(ask("GET /" + TOKEN + "/a?b=c%20d"))
                .startsWith("HTTP/1.1 200 ")
                .contains("Content-Security-Policy: default-src 'none';")
                .contains("Referrer-Policy: no-referrer")
                .doesNotContain("Jetty")
                .endsWith("it is \n");
        assertThat(asked).extracting(WebRequest::path).containsExactly("/a");
        assertThat(asked.getFirst().parameter("b")).isEqualTo("c d");
        assertThat(asked.getFirst().parameter("c")).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "/",
                "/s3cret-tokem/",
                "/s3cret-token",
                "/s3cret-token2/",
                "/s3cret-toke/n/",
                "//s3cret-token/",
                "/x/../s3cret-token/",
                "/%73cret-token/"
            })
    void whoDoesNotKnowTheTokenGetsNothing(String path) throws IOException {
        assertThat(ask("GET " + path)).startsWith("HTTP/1.1 4").doesNotContain(TOKEN);
        assertThat(asked).isEmpty();
    }

    @ParameterizedTest
    @ValueSource(strings = {"PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get"})
    void methodsButGetAndPostAreRefused(String method) throws IOException {
        assertThat(ask(method + " /" + TOKEN + "/")).startsWith("HTTP/1.1 4");
        assertThat(asked).isEmpty();
    }

    @Test
    void anAddressThatIsTooLongIsRefused() throws IOException {
        String path = "/" + TOKEN + "/" + "a".repeat(WebServer.HEADERS_MAX);
        assertThat(ask("GET " + path)).startsWith("HTTP/1.1 414 ");
        assertThat(ask("GET /" + TOKEN + "/", "X: " + "a".repeat(WebServer.HEADERS_MAX), ""))
                .startsWith("HTTP/1.1 431 ");
        assertThat(asked).isEmpty();
        String fits = "/" + TOKEN + "/" + "a".repeat(WebServer.HEADERS_MAX - 1024);
        assertThat(ask("GET " + fits)).startsWith("HTTP/1.1 200 ");
    }

    @Test
    void bodiesHaveALimit() throws IOException {
        String post = "POST /" + TOKEN + "/x";
        String most = "b".repeat(WebServer.BODY_MAX);
        assertThat(ask(post, "Content-Length: %d\r\n".formatted(most.length()), most))
                .startsWith("HTTP/1.1 200 ")
                .endsWith("it is " + most + "\n");
        assertThat(ask(post, "Content-Length: %d\r\n".formatted(most.length() + 1), most + "b"))
                .startsWith("HTTP/1.1 413 ");
        assertThat(asked).hasSize(1);
        assertThat(server.counts().requestsRefused()).isEqualTo(1);
    }

    @Test
    void anotherHostsNameIsRefused() throws IOException {
        Socket socket = connect();
        send(
                socket,
                "GET /%s/ HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n"
                        .formatted(TOKEN));
        assertThat(new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
                .startsWith("HTTP/1.1 421 ");
        assertThat(asked).isEmpty();
    }

    @Test
    void connectionsHaveALimitAndThoseBeyondAreClosed() throws Exception {
        for (int i = 0; i < 200; i++) {
            connect();
        }
        WebCounts counts =
                await(now -> now.connections() + now.connectionsRefused() == sockets.size());
        assertThat(counts.connections()).isEqualTo(WebServer.CONNECTIONS_MAX);
        assertThat(counts.connectionsRefused()).isEqualTo(200 - WebServer.CONNECTIONS_MAX);
        for (Socket socket : sockets) {
            socket.close();
        }
        await(now -> now.connections() == 0);
        assertThat(ask("GET /" + TOKEN + "/")).startsWith("HTTP/1.1 200 ");
    }

    @Test
    void streamsHaveALimit() throws Exception {
        for (int i = 0; i < WebServer.STREAMS_MAX; i++) {
            send(connect(), "GET /%s/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".formatted(TOKEN));
        }
        await(now -> now.streams() == WebServer.STREAMS_MAX && streams.size() == now.streams());
        assertThat(ask("GET /" + TOKEN + "/events")).startsWith("HTTP/1.1 503 ");
        assertThat(server.counts().streamsRefused()).isEqualTo(1);
        assertThat(streams).allMatch(stream -> stream.offer("tick", "{\"a\":1}"));
        sockets.getFirst().setSoTimeout(10_000);
        assertThat(readUntil(sockets.getFirst().getInputStream(), "{\"a\":1}\n\n"))
                .contains("text/event-stream")
                .contains("event: tick\ndata: {\"a\":1}\n\n");
        sockets.getFirst().close();
        while (server.counts().streams() == WebServer.STREAMS_MAX) {
            streams.forEach(stream -> stream.offer("tick", "{}"));
            Thread.sleep(5);
        }
        assertThat(streams).filteredOn(stream -> !stream.isOpen()).hasSize(1);
    }

    private static String readUntil(InputStream in, String end) throws IOException {
        StringBuilder text = new StringBuilder();
        while (text.indexOf(end) < 0) {
            int one = in.read();
            assertThat(one).as("more after %s", text).isNotNegative();
            text.append((char) one);
        }
        return text.toString();
    }

    @Test
    void aClientThatNeverReadsCostsOneEventAndIsLetGo() throws Exception {
        Socket silent = connect();
        send(silent, "GET /%s/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".formatted(TOKEN));
        await(now -> streams.size() == 1);
        WebStream stream = streams.getFirst();
        String large = "x".repeat(1 << 20);
        while (server.counts().eventsSkipped() == 0) {
            stream.offer("large", large);
        }
        assertThat(stream.isReady()).isFalse();
        assertThat(stream.offer("more", "{}")).isFalse();
        assertThat(ask("GET /" + TOKEN + "/")).startsWith("HTTP/1.1 200 ");
        WebCounts after = await(now -> now.streams() == 0);
        assertThat(after.eventsSkipped()).isGreaterThanOrEqualTo(2);
        assertThat(stream.isOpen()).isFalse();
    }

    @Test
    void aPortThatIsTakenIsSaidToBe() {
        assertThatThrownBy(() -> WebServer.start("other", port(), null, this::answer))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("somebody has port " + port());
    }

    @Test
    void withoutATokenEverybodyOnThisMachineMayAsk() throws IOException {
        server.close();
        server = WebServer.start("open", 0, null, this::answer);
        assertThat(ask("GET /metrics")).startsWith("HTTP/1.1 200 ");
        assertThat(asked).extracting(WebRequest::path).containsExactly("/metrics");
    }
}
