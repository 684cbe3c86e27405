// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.io.InputStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.AsynchronousCloseException;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.ioasis.guestkit.Cleanup;
import org.ioasis.guestkit.Host;
import org.ioasis.guestkit.UnavailableException;
import org.ioasis.iommu.EndpointCounts;
import org.ioasis.machine.Machine;
import org.ioasis.vm.Ending;
import org.ioasis.vm.GuestEvent;
import org.ioasis.vm.GuestReport;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.QemuProcess;
import org.ioasis.vm.Terminal;

/**
 * A guest that does what the user wants: a command, a shell on the console, or an initramfs of the
 * user's. Nothing is judged. One thread; blocks until it is over.
 */
public final class ShellRun {
    /** After QEMU is gone a reader only has to empty a socket. */
    private static final long READER_LIMIT_MILLIS = 5000;

    private static final String SHELL_STEP = "shell";

    /** What the first of the guest's disks is to it. */
    private static final String SEED = Judgement.role(GuestTask.SEED_SERIAL);

    private final RunOptions options;
    private final GuestTask task;
    private final Host host;
    private final Progress progress;

    public ShellRun(RunOptions options, GuestTask task, Host host, Progress progress) {
        this.options = options;
        this.task = task;
        this.host = host;
        this.progress = progress;
    }

    /**
     * Runs the guest; the output of its command goes to standard output.
     *
     * @return of which the status is that of command or shell; not OK if the guest ended without
     *     one, except that a guest with an initramfs of its own powers off
     * @throws UnavailableException this machine lacks something; the message says what to do
     */
    public RunReport run() throws UnavailableException, IOException, InterruptedException {
        long begin = System.nanoTime();
        try (Cleanup cleanup = Cleanup.atExit();
                GuestSetup setup = GuestSetup.prepare(options, task, host, cleanup, progress)) {
            GuestSetup.Ended ended =
                    switch (task) {
                        case GuestTask.Run _ -> bootWithOutput(setup);
                        case GuestTask.Shell _, GuestTask.Boot _ -> bootOnTerminal(setup, cleanup);
                        case GuestTask.Hello _,
                                GuestTask.Check _,
                                GuestTask.Net _,
                                GuestTask.Churn _,
                                GuestTask.Measure _ ->
                                setup.boot(setup::tell, null);
                    };
            setup.machine().close();
            withoutDisk(options, task, ended.guest()).ifPresent(progress::say);
            progress.say(summary(setup.machine()));
            return new Judgement(
                            options, Judgement.Counts.of(setup.machine(), options), ended, progress)
                    .unjudged(problems(options, task, ended), setup.accel(), begin);
        }
    }

    /**
     * What is wrong with the end of a guest that was to do {@code task}. A status is not enough: a
     * guest may have said one and go on for ever.
     */
    static List<String> problems(RunOptions options, GuestTask task, GuestSetup.Ended ended) {
        Ending ending = ended.ending();
        Optional<Integer> status = ended.guest().status();
        List<String> problems = new ArrayList<>();
        if (ended.end() instanceof QemuProcess.End.TimedOut(var limit)) {
            problems.add(
                    "the guest did not end within %d s%s"
                            .formatted(
                                    limit.toSeconds(),
                                    status.map(code -> ", after its status " + code).orElse("")));
        } else if (status.isPresent()
                || ending == Ending.KILLED
                || (ending == Ending.POWER_OFF && task instanceof GuestTask.Boot)) {
            return problems;
        }
        Judgement.oops(ended.guest()).ifPresent(problems::add);
        ended.guest().failure().ifPresent(reason -> problems.add("the guest gave up at " + reason));
        if (status.isEmpty()) {
            problems.add("no exit status has come from the guest");
        }
        Judgement.withoutModules(options).ifPresent(problems::add);
        return problems;
    }

    /** What a command or a shell may not have missed, but its user might: there was no disk. */
    static Optional<String> withoutDisk(RunOptions options, GuestTask task, GuestReport guest) {
        boolean isOurs = task instanceof GuestTask.Run || task instanceof GuestTask.Shell;
        if (!isOurs || guest.status().isEmpty() || guest.devices().containsKey(SEED)) {
            return Optional.empty();
        }
        return Optional.of(
                "the guest had no disk behind the IOMMU"
                        + Judgement.withoutModules(options).map(why -> ": " + why).orElse(""));
    }

    private GuestSetup.Ended bootOnTerminal(GuestSetup setup, Cleanup cleanup)
            throws IOException, InterruptedException {
        progress.say("the guest's console; Ctrl-A x ends the guest");
        try (Terminal terminal = Terminal.open(cleanup)) {
            if (task instanceof GuestTask.Boot) {
                terminal.guestIsListening();
            }
            return setup.boot(
                    event -> {
                        // The console is shown as it is; what else there is to tell is QEMU's.
                        if (event instanceof GuestEvent.Vmm) {
                            setup.tell(event);
                        }
                        if (event instanceof GuestEvent.Step(String name, long _)
                                && name.equals(SHELL_STEP)) {
                            terminal.guestIsListening();
                        }
                    },
                    terminal);
        }
    }

    private static GuestSetup.Ended bootWithOutput(GuestSetup setup)
            throws IOException, InterruptedException {
        Path path = setup.outputSocket();
        try (ServerSocketChannel listener =
                ServerSocketChannel.open(StandardProtocolFamily.UNIX)
                        .bind(UnixDomainSocketAddress.of(path))) {
            Thread reader =
                    Thread.ofPlatform()
                            .daemon()
                            .name("output of the command")
                            .start(() -> copyOutput(listener));
            GuestSetup.Ended ended = setup.boot(setup::tell, null);
            reader.join(READER_LIMIT_MILLIS);
            return ended;
        }
    }

    private static void copyOutput(ServerSocketChannel listener) {
        try (SocketChannel channel = listener.accept();
                InputStream in = Channels.newInputStream(channel)) {
            byte[] buffer = new byte[1 << 16];
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                System.out.write(buffer, 0, n);
                System.out.flush();
            }
        } catch (AsynchronousCloseException never) {
            // QEMU did not come to connect; how it ended says why.
        } catch (IOException e) {
            System.err.println("ioasis: the command's output is lost: " + e);
        }
    }

    private static String summary(Machine machine) {
        EndpointCounts accesses = machine.accesses();
        return String.format(
                Locale.ROOT,
                "%,d requests to the IOMMU, %,d translations, %,d in bypass domains, bypassed %,d (%,d after ATTACH), %d"
                        + " faults",
                machine.requests(),
                accesses.translations(),
                accesses.identity(),
                accesses.bypassed(),
                accesses.bypassedAfterAttach(),
                machine.faults());
    }
}
