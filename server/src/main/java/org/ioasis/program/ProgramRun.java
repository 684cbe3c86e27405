// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.io.IOException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import org.ioasis.iommufd.IommufdNode;
import org.ioasis.loop.EventHandler;
import org.ioasis.loop.EventLoop;
import org.ioasis.sys.CallListener;
import org.ioasis.sys.ChildProcess;
import org.ioasis.sys.Epoll;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.FilteredProgram;
import org.ioasis.sys.ProgramSetting;
import org.jspecify.annotations.Nullable;

/**
 * One program, with the supervisor that answers it and what it starts. Made by one thread, {@link
 * #signal} from any.
 */
public final class ProgramRun {
    private final ChildProcess child;
    private final Service service;

    private ProgramRun(ChildProcess child, Service service) {
        this.child = child;
        this.service = service;
    }

    /** How answering goes. */
    private static final class Service {
        private final CountDownLatch over = new CountDownLatch(1);
        private final AtomicReference<@Nullable Throwable> failed = new AtomicReference<>();

        void end(@Nullable Throwable cause) {
            failed.set(cause);
            over.countDown();
        }
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
            throws ErrnoException, IOException, InterruptedException {
        ProgramFiles files = ProgramFiles.builder().iommu(node::open).build();
        return start(command, isForTests ? new MockFiles(files) : new Devices(files), trace);
    }

    /**
     * The same with devices of any kind, on a thread of its own.
     *
     * @throws ErrnoException it cannot be started; {@link ErrnoException#call} is {@code seccomp}
     *     if the kernel or a sandbox does not allow the mechanism
     */
    static ProgramRun start(List<byte[]> command, Devices devices, CallTrace trace)
            throws ErrnoException, InterruptedException {
        FilteredProgram program = FilteredProgram.start(Supervisor.filter(), command);
        Service service = new Service();
        Thread _ =
                Thread.ofPlatform()
                        .name("supervisor of " + program.name())
                        .start(() -> supervise(program, devices, trace, service));
        return new ProgramRun(new ChildProcess(program.awaitPid()), service);
    }

    /**
     * Starts a program and answers it on a loop, beside what else that serves: the devices that the
     * program finds.
     *
     * @param setting what it is started with
     * @param files what it finds; their devices are opened and used on the loop
     * @throws ErrnoException as above
     * @throws IOException there is no room for files of ours in the folder of temporary files
     */
    public static ProgramRun start(
            List<byte[]> command,
            ProgramSetting setting,
            ProgramFiles files,
            CallTrace trace,
            EventLoop loop)
            throws ErrnoException, IOException, InterruptedException {
        Devices devices = new Devices(files);
        Service service = new Service();
        boolean isServed = false;
        try {
            FilteredProgram program = FilteredProgram.start(Supervisor.filter(), command, setting);
            CallListener listener = program.awaitListener();
            loop.execute(() -> serve(listener, devices, trace, loop, service));
            isServed = true;
            return new ProgramRun(new ChildProcess(pid(program, service)), service);
        } finally {
            if (!isServed) {
                devices.close();
            }
        }
    }

    /**
     * Of a program that cannot be started the service ends by itself. Who hears of it may end the
     * loop, and with it what gives everything back: so that is over before.
     */
    private static int pid(FilteredProgram program, Service service)
            throws ErrnoException, InterruptedException {
        try {
            return program.awaitPid();
        } catch (ErrnoException e) {
            service.over.await();
            throw e;
        }
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
        service.over.await();
        Throwable thrown = service.failed.get();
        if (thrown != null) {
            throw new IllegalStateException("the supervisor has failed", thrown);
        }
        return end;
    }

    private static void supervise(
            FilteredProgram program, Devices devices, CallTrace trace, Service service) {
        CallListener listener;
        try {
            listener = program.awaitListener();
        } catch (ErrnoException | InterruptedException e) {
            // Whoever waits for the program hears the same.
            devices.close();
            service.end(e);
            return;
        }
        // A listener that nobody serves is closed, and the program's calls fail: it ends by itself.
        Throwable failure = null;
        try (Supervisor serving = new Supervisor(listener, devices, trace)) {
            serving.run();
        } catch (ErrnoException | RuntimeException | Error e) {
            failure = e;
        }
        // When what the program had left open is released too.
        service.end(failure);
    }

    /** Loop thread. */
    private static void serve(
            CallListener listener,
            Devices devices,
            CallTrace trace,
            EventLoop loop,
            Service service) {
        Supervisor serving;
        try {
            serving = new Supervisor(listener, devices, trace);
        } catch (ErrnoException e) {
            devices.close();
            service.end(e);
            return;
        }
        try {
            Turns turns = new Turns(serving, service);
            turns.registration = loop.register(serving.fd(), Epoll.IN, turns);
        } catch (ErrnoException e) {
            serving.close();
            service.end(e);
        }
    }

    /** The supervisor's turns on a loop, until there is nobody left who calls. Loop thread. */
    private static final class Turns implements EventHandler {
        private final Supervisor serving;
        private final Service service;
        private EventLoop.@Nullable Registration registration;

        Turns(Supervisor serving, Service service) {
            this.serving = serving;
            this.service = service;
        }

        @Override
        public void ready(int events) {
            if (!serving.turn(0)) {
                EventLoop.Registration ours = registration;
                if (ours != null) {
                    ours.cancel();
                }
                end(null);
            }
        }

        @Override
        public void failed(Throwable cause) {
            end(cause);
        }

        /** Whoever waits for the program hears of it, even if something cannot be given back. */
        private void end(@Nullable Throwable cause) {
            Throwable why = cause;
            try {
                serving.close();
            } catch (RuntimeException | Error e) {
                why = why == null ? e : why;
                throw e;
            } finally {
                service.end(why);
            }
        }
    }
}
