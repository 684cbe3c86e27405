// SPDX-License-Identifier: Apache-2.0
package org.ioasis.live;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.ioasis.loop.Acceptor;
import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.loop.Polled;
import org.ioasis.machine.EndpointDevice;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.memory.Access;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixListener;
import org.ioasis.sys.UnixSocket;
import org.ioasis.virtio.rogue.Aim;
import org.ioasis.virtio.rogue.Rogue;
import org.ioasis.virtio.rogue.Tally;
import org.ioasis.virtio.rogue.Volley;
import org.jspecify.annotations.Nullable;

/**
 * Where a running server is asked about itself: a socket that takes one command line per connection
 * and answers with a status (0 fine, 1 something is wrong, 2 not understood) on the first line,
 * text after it, and the end of the connection. On a thread of its own, so that it answers also
 * when a machine's loop does not.
 *
 * <pre>
 *   dump [json]
 *   check [json]
 *   inject MACHINE/IOMMU NAME VALUE     (- for the only IOMMU; "none 0" takes everything back)
 *   rogue MACHINE/DEVICE read|write stride FIRST STEP LENGTH COUNT     (- for the only rogue)
 *   rogue MACHINE/DEVICE read|write scatter FIRST LAST LENGTH COUNT
 * </pre>
 *
 * <p>Numbers are unsigned, of 64 bits, decimal or with 0x. A volley of a rogue is answered when it
 * is over, and goes on without the client that asked for it.
 */
public final class Control implements AutoCloseable, Acceptor.Clients {
    /** Longest command. */
    static final int LINE_MAX = 1024;

    static final int CONNECTIONS_MAX = 8;
    private static final int DRAIN_MAX = 64;

    /** Most accesses of one volley. */
    static final long VOLLEY_MAX = 100_000_000;

    /** Always the same addresses for the same command. */
    private static final long SCATTER_SEED = 1;

    private static final long IDLE_NANOS = 10_000_000_000L;

    private final List<Machine> machines;
    private final Acceptor acceptor;
    private final EventLoop loop;
    private final Set<Connection> connections = new HashSet<>();

    private Control(List<Machine> machines, UnixListener listener, EventLoop loop) {
        this.machines = List.copyOf(machines);
        this.loop = loop;
        acceptor = new Acceptor(loop, listener, this);
    }

    /**
     * Listens at {@code socket} from now on.
     *
     * @throws ErrnoException as {@link UnixListener#bind}
     */
    public static Control start(Path socket, List<Machine> machines) throws ErrnoException {
        UnixListener listener = UnixListener.bind(socket);
        boolean isStarted = false;
        try {
            EventLoop loop =
                    new EventLoop(
                            "control", Polled.NOTHING, System::nanoTime, IdlePolicy.EVENT_DRIVEN);
            Control control = new Control(machines, listener, loop);
            control.acceptor.listen();
            loop.start();
            isStarted = true;
            return control;
        } finally {
            if (!isStarted) {
                listener.close();
            }
        }
    }

    @Override
    public void arrived() {
        UnixSocket socket = acceptor.next();
        if (socket == null) {
            return;
        }
        if (connections.size() == CONNECTIONS_MAX) {
            socket.close();
            return;
        }
        Connection connection = new Connection(socket);
        connections.add(connection);
        connection.begin();
    }

    @Override
    public void failed(Throwable cause) {
        // The loop has logged it; the machines go on without.
    }

    /** One client: one line from it, one answer to it. */
    private final class Connection implements EventHandler {
        private final UnixSocket socket;
        private final MemorySegment input = Arena.ofAuto().allocate(LINE_MAX);
        private final List<Fd> fds = new ArrayList<>();
        private int inputBytes;
        private boolean hasAsked;
        private MemorySegment output = MemorySegment.NULL;
        private long sent;
        private EventLoop.@Nullable Registration registration;
        private EventLoop.@Nullable Timer timer;

        Connection(UnixSocket socket) {
            this.socket = socket;
        }

        void begin() {
            try {
                registration = loop.register(socket.fd(), Epoll.IN, this);
                timer = loop.schedule(loop.nanoTime() + IDLE_NANOS, this::end);
            } catch (ErrnoException e) {
                end();
            }
        }

        @Override
        public void ready(int events) {
            try {
                if (output.byteSize() > 0) {
                    write();
                } else {
                    read();
                }
            } catch (ErrnoException e) {
                end();
            }
        }

        @Override
        public void failed(Throwable cause) {
            end();
        }

        private void read() throws ErrnoException {
            int from = hasAsked ? 0 : inputBytes;
            int n = socket.receive(input, from, LINE_MAX - from, fds);
            fds.forEach(Fd::close);
            fds.clear();
            if (n == -Errno.EAGAIN) {
                return;
            }
            if (n == 0) {
                end();
                return;
            }
            if (hasAsked) {
                return; // one answer per connection
            }
            inputBytes += n;
            byte[] bytes = input.asSlice(0, inputBytes).toArray(ValueLayout.JAVA_BYTE);
            for (int i = 0; i < bytes.length; i++) {
                if (bytes[i] == '\n') {
                    hasAsked = true;
                    Control.this.answer(new String(bytes, 0, i, StandardCharsets.UTF_8), this);
                    return;
                }
            }
            if (inputBytes == LINE_MAX) {
                answer(new Answer(2, "a command has at most %d bytes\n".formatted(LINE_MAX - 1)));
            }
        }

        /** What takes its time: the client waits as long, and the others do not. */
        void waits() {
            EventLoop.Timer pending = timer;
            if (pending != null) {
                pending.cancel();
            }
        }

        void answer(Answer answer) {
            if (!connections.contains(this)) {
                return; // the client has gone
            }
            hasAsked = true;
            try {
                give(answer);
            } catch (ErrnoException e) {
                end();
            }
        }

        private void give(Answer answer) throws ErrnoException {
            // What is left unread at the close would make the client's end a broken one.
            for (int i = 0; i < DRAIN_MAX && socket.receive(input, 0, LINE_MAX, fds) > 0; i++) {
                fds.forEach(Fd::close);
                fds.clear();
            }
            byte[] bytes = (answer.status + "\n" + answer.text).getBytes(StandardCharsets.UTF_8);
            output = Arena.ofAuto().allocate(bytes.length);
            output.copyFrom(MemorySegment.ofArray(bytes));
            write();
        }

        private void write() throws ErrnoException {
            while (sent < output.byteSize()) {
                int length = (int) Math.min(output.byteSize() - sent, 1 << 20);
                int n = socket.send(output, sent, length, List.of());
                if (n == -Errno.EAGAIN) {
                    EventLoop.Registration registered = registration;
                    if (registered != null) {
                        registered.events(Epoll.OUT);
                    }
                    return;
                }
                sent += n;
            }
            end();
        }

        private void end() {
            EventLoop.Registration registered = registration;
            if (registered != null) {
                registered.cancel();
            }
            EventLoop.Timer pending = timer;
            if (pending != null) {
                pending.cancel();
            }
            socket.close();
            connections.remove(this);
        }
    }

    private record Answer(int status, String text) {}

    private void answer(String line, Connection client) {
        String[] words = line.trim().split(" +", -1);
        if (words[0].equals("rogue") && words.length == 8) {
            rogue(words, client);
        } else {
            client.answer(answer(words));
        }
    }

    private Answer answer(String... words) {
        boolean isJson = words.length == 2 && words[1].equals("json");
        try {
            if (words[0].equals("dump") && (words.length == 1 || isJson)) {
                return new Answer(0, isJson ? DumpJson.of(views()) : DumpText.of(views()));
            }
            if (words[0].equals("check") && (words.length == 1 || isJson)) {
                Diagnosis diagnosis = Diagnosis.of(views());
                return new Answer(
                        diagnosis.isFine() ? 0 : 1,
                        isJson ? DumpJson.of(diagnosis) : diagnosis.text());
            }
            if (words[0].equals("inject") && words.length == 4) {
                Planting.Outcome planted = Planting.plant(machines, words[1], words[2], words[3]);
                return new Answer(planted.status(), planted.text());
            }
        } catch (IOException e) {
            throw new IllegalStateException("writing to memory failed", e);
        }
        return new Answer(
                2,
                "not one of: dump [json], check [json], inject MACHINE/IOMMU NAME VALUE,"
                        + " rogue MACHINE/DEVICE read|write stride|scatter FIRST STEP|LAST LENGTH COUNT\n");
    }

    /** Fires; the answer comes when the volley is over. */
    private void rogue(String[] words, Connection client) {
        Map<String, Rogue> rogues = new LinkedHashMap<>();
        for (Machine machine : machines) {
            for (IommuUnit iommu : machine.iommus()) {
                for (EndpointDevice device : iommu.devices()) {
                    device.rogue()
                            .ifPresent(rogue ->
                                    rogues.put(machine.name() + "/" + device.name(), rogue));
                }
            }
        }
        if (rogues.isEmpty()) {
            client.answer(
                    new Answer(
                            2, "no device is a rogue: start the server with --rng SOCKET,rogue\n"));
            return;
        }
        Rogue chosen;
        Volley volley;
        try {
            chosen = Planting.chosen("rogue", words[1], rogues);
            volley = volley(words);
        } catch (IllegalArgumentException e) {
            client.answer(new Answer(2, e.getMessage() + "\n"));
            return;
        }
        client.waits();
        CompletableFuture<Void> _ =
                chosen.fire(volley)
                        .handle((tally, failure) -> {
                            Answer answer =
                                    failure == null
                                            ? new Answer(0, text(volley, tally))
                                            : new Answer(1, "the machine has ended\n");
                            loop.execute(() -> client.answer(answer));
                            return null;
                        });
    }

    private static Volley volley(String... words) {
        Access access =
                switch (words[2]) {
                    case "read" -> Access.READ;
                    case "write" -> Access.WRITE;
                    default -> throw new IllegalArgumentException("read or write, not " + words[2]);
                };
        long first = Unsigned.parse(words[4]);
        long second = Unsigned.parse(words[5]);
        int length = (int) Unsigned.parse(words[6], Volley.LENGTH_LIMIT);
        long count = Unsigned.parse(words[7], VOLLEY_MAX);
        if (length == 0 || count == 0) {
            throw new IllegalArgumentException("length and count must be at least 1");
        }
        Aim aim =
                switch (words[3]) {
                    case "stride" -> new Aim.Stride(first, second);
                    case "scatter" -> {
                        if (Long.compareUnsigned(second, first) < 0) {
                            throw new IllegalArgumentException(
                                    "the range 0x%x-0x%x ends before it starts"
                                            .formatted(first, second));
                        }
                        yield new Aim.Scatter(first, second, SCATTER_SEED);
                    }
                    default ->
                            throw new IllegalArgumentException(
                                    "stride or scatter, not " + words[3]);
                };
        return new Volley(access, aim, length, count);
    }

    private static String text(Volley volley, Tally tally) {
        return "%d %ss of %d bytes: %d went through, %d refused by the IOMMU, %d where no memory is, %d refused by the memory%n%s"
                .formatted(
                        tally.total(),
                        volley.access().name().toLowerCase(Locale.ROOT),
                        volley.length(),
                        tally.ok(),
                        tally.faults(),
                        tally.absent(),
                        tally.refused(),
                        volley.access() == Access.READ && tally.ok() > 0
                                ? "SHA-256 of what was read: " + tally.readSha256() + "\n"
                                : "");
    }

    private List<MachineView> views() {
        return machines.stream().map(MachineView::of).toList();
    }

    /** Ends all connections and removes the socket. Twice is fine. */
    @Override
    public void close() {
        loop.close();
        List.copyOf(connections).forEach(Connection::end);
        acceptor.close();
    }
}
