package org.ioasis.live;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.loop.IdlePolicy;
import org.ioasis.machine.IommuUnit;
import org.ioasis.machine.Machine;
import org.ioasis.memory.Guards;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.UnixListener;
import org.ioasis.sys.UnixSocket;
import org.ioasis.virtio.iommu.Injection;
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
 * </pre>
 */
public final class Control implements AutoCloseable {
    /** Longest command. */
    static final int LINE_MAX = 1024;

    static final int CONNECTIONS_MAX = 8;
    private static final int DRAIN_MAX = 64;
    private static final long IDLE_NANOS = 10_000_000_000L;

    private final List<Machine> machines;
    private final UnixListener listener;
    private final EventLoop loop;
    private final Set<Connection> connections = new HashSet<>();

    private Control(List<Machine> machines, UnixListener listener, EventLoop loop) {
        this.machines = List.copyOf(machines);
        this.listener = listener;
        this.loop = loop;
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
                            "control",
                            new Guards(System::nanoTime, lease -> {}),
                            System::nanoTime,
                            IdlePolicy.EVENT_DRIVEN);
            Control control = new Control(machines, listener, loop);
            EventLoop.Registration _ =
                    loop.register(
                            listener.fd(),
                            Epoll.IN,
                            new EventHandler() {
                                @Override
                                public void ready(int events) {
                                    control.accept();
                                }

                                @Override
                                public void failed(Throwable cause) {
                                    // The loop has logged it; the machines go on without.
                                }
                            });
            loop.start();
            isStarted = true;
            return control;
        } finally {
            if (!isStarted) {
                listener.close();
            }
        }
    }

    private void accept() {
        UnixSocket socket;
        try {
            socket = listener.accept();
        } catch (ErrnoException e) {
            return; // out of descriptors; the client tries again
        }
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

    /** One client: one line from it, one answer to it. */
    private final class Connection implements EventHandler {
        private final UnixSocket socket;
        private final MemorySegment input = Arena.ofAuto().allocate(LINE_MAX);
        private final List<Fd> fds = new ArrayList<>();
        private int inputBytes;
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
                if (output.byteSize() == 0) {
                    read();
                }
                if (output.byteSize() > 0) {
                    write();
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
            int n = socket.receive(input, inputBytes, LINE_MAX - inputBytes, fds);
            fds.forEach(Fd::close);
            fds.clear();
            if (n == -Errno.EAGAIN) {
                return;
            }
            if (n == 0) {
                end();
                return;
            }
            inputBytes += n;
            byte[] bytes = input.asSlice(0, inputBytes).toArray(ValueLayout.JAVA_BYTE);
            for (int i = 0; i < bytes.length; i++) {
                if (bytes[i] == '\n') {
                    answer(Control.this.answer(new String(bytes, 0, i, StandardCharsets.UTF_8)));
                    return;
                }
            }
            if (inputBytes == LINE_MAX) {
                answer(new Answer(2, "a command has at most %d bytes\n".formatted(LINE_MAX - 1)));
            }
        }

        private void answer(Answer answer) throws ErrnoException {
            // What is left unread at the close would make the client's end a broken one.
            for (int i = 0; i < DRAIN_MAX && socket.receive(input, 0, LINE_MAX, fds) > 0; i++) {
                fds.forEach(Fd::close);
                fds.clear();
            }
            byte[] bytes = (answer.status + "\n" + answer.text).getBytes(StandardCharsets.UTF_8);
            output = Arena.ofAuto().allocate(bytes.length);
            output.copyFrom(MemorySegment.ofArray(bytes));
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

    private Answer answer(String line) {
        String[] words = line.trim().split(" +", -1);
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
                return inject(words[1], words[2], words[3]);
            }
        } catch (IOException e) {
            throw new IllegalStateException("writing to memory failed", e);
        }
        return new Answer(
                2, "not one of: dump [json], check [json], inject MACHINE/IOMMU NAME VALUE\n");
    }

    private List<MachineView> views() {
        return machines.stream().map(MachineView::of).toList();
    }

    private Answer inject(String where, String name, String value) {
        Injection injection;
        try {
            injection =
                    name.equals("none")
                            ? new Injection.None()
                            : Injection.of(name, Long.parseLong(value));
        } catch (NumberFormatException e) {
            return new Answer(2, name + " needs a number\n");
        } catch (IllegalArgumentException e) {
            return new Answer(2, e.getMessage() + "\n");
        }
        List<String> names = new ArrayList<>();
        Machine machine = null;
        IommuUnit unit = null;
        for (Machine candidate : machines) {
            for (IommuUnit iommu : candidate.iommus()) {
                String full = candidate.name() + "/" + iommu.name();
                names.add(full);
                if (full.equals(where)) {
                    machine = candidate;
                    unit = iommu;
                }
            }
        }
        if (where.equals("-") && names.size() == 1) {
            machine = machines.getFirst();
            unit = machine.iommus().getFirst();
        }
        if (machine == null || unit == null) {
            return new Answer(2, "which IOMMU: " + String.join(", ", names) + "\n");
        }
        IommuUnit chosen = unit;
        boolean answers = machine.onLoop(() -> chosen.inject(injection));
        return answers
                ? new Answer(0, "planted: " + injection + "\n")
                : new Answer(1, "the machine's loop does not answer\n");
    }

    /** Ends all connections and removes the socket. Twice is fine. */
    @Override
    public void close() {
        loop.close();
        List.copyOf(connections).forEach(Connection::end);
        listener.close();
    }
}
