// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.sys.CallListener;
import org.ioasis.sys.ChildProcess;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.FilteredProgram;

/**
 * One program, with the supervisor that answers it and what it starts. Made by one thread, {@link
 * #signal} from any.
 */
public final class ProgramRun {
    private final ChildProcess child;
    private final Thread supervisor;
    private final AtomicReference<Throwable> failed;

    private ProgramRun(ChildProcess child, Thread supervisor, AtomicReference<Throwable> failed) {
        this.child = child;
        this.supervisor = supervisor;
        this.failed = failed;
    }

    /**
     * Starts a program for which there is {@code /dev/iommu}.
     *
     * @param command file and arguments, as bytes
     * @param isForTests with what a kernel that is built for tests has beside the device
     * @throws ErrnoException it cannot be started; {@link ErrnoException#call} is {@code seccomp}
     *     if the kernel or a sandbox does not allow the mechanism
     */
    public static ProgramRun start(
            List<byte[]> command, IommufdNode node, boolean isForTests, CallTrace trace)
            throws ErrnoException, InterruptedException {
        Map<String, Devices.Opener> devices = Map.of("/dev/iommu", node::open);
        return start(command, isForTests ? new MockFiles(devices) : new Devices(devices), trace);
    }

    /**
     * The same with devices of any kind.
     *
     * @throws ErrnoException it cannot be started; {@link ErrnoException#call} is {@code seccomp}
     *     if the kernel or a sandbox does not allow the mechanism
     */
    static ProgramRun start(List<byte[]> command, Devices devices, CallTrace trace)
            throws ErrnoException, InterruptedException {
        FilteredProgram program = FilteredProgram.start(Supervisor.filter(), command);
        AtomicReference<Throwable> failed = new AtomicReference<>();
        Thread supervisor =
                Thread.ofPlatform()
                        .name("supervisor of " + program.name())
                        .start(() -> supervise(program, devices, trace, failed));
        return new ProgramRun(new ChildProcess(program.awaitPid()), supervisor, failed);
    }

    /** Number of the program's process. */
    public int pid() {
        return child.pid();
    }

    /** Sends the program a signal, if it has not ended. */
    public void signal(int number) {
        child.signal(number);
    }

    /**
     * Waits until the program and all that it started have ended.
     *
     * @return how the program itself did
     */
    public ChildProcess.End await() throws InterruptedException {
        ChildProcess.End end = child.await();
        supervisor.join();
        Throwable thrown = failed.get();
        if (thrown != null) {
            throw new IllegalStateException("the supervisor has failed", thrown);
        }
        return end;
    }

    private static void supervise(
            FilteredProgram program,
            Devices devices,
            CallTrace trace,
            AtomicReference<Throwable> failed) {
        CallListener listener;
        try {
            listener = program.awaitListener();
        } catch (ErrnoException | InterruptedException e) {
            // Whoever waits for the program hears the same.
            return;
        }
        // A listener that nobody serves is closed, and the program's calls fail: it ends by itself.
        try (Supervisor serving = new Supervisor(listener, devices, trace)) {
            serving.run();
        } catch (ErrnoException | RuntimeException | Error e) {
            failed.set(e);
        }
    }
}
