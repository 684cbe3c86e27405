// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.io.InputStream;
import java.io.InterruptedIOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.ioasis.machine.ProgramMachine;
import org.ioasis.program.CallTrace;
import org.ioasis.program.ProgramRun;
import org.ioasis.sys.ChildProcess;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.FileBytes;
import org.ioasis.sys.Pipe;
import org.ioasis.sys.ProgramSetting;

/**
 * A program that a machine of ours serves, as a process like any other: without input, its output
 * to be read. Any thread.
 */
public final class ServedProgram extends Process {
    private static final int SIGTERM = 15;
    private static final int SIGKILL = 9;

    /** As a shell says that a signal has killed it. */
    private static final int SIGNAL_CODE = 128;

    private final ProgramRun run;

    /** Asked for while the number is surely its: nobody has collected it yet. */
    private final ProcessHandle handle;

    private final InputStream output;
    private final InputStream errors;
    private final CountDownLatch ended = new CountDownLatch(1);
    private volatile int code;

    private ServedProgram(ProgramRun run, InputStream output, InputStream errors) {
        this.run = run;
        handle = ProcessHandle.of(run.pid()).orElseThrow(IllegalStateException::new);
        this.output = output;
        this.errors = errors;
        Thread _ = Thread.ofPlatform().daemon().name("end of " + run.pid()).start(this::await);
    }

    /**
     * Starts it.
     *
     * @param machine has started
     * @param folder for what the program finds at paths of ours; not there yet
     */
    public static ServedProgram start(
            ProgramMachine machine,
            Path folder,
            List<String> command,
            Map<String, String> environment)
            throws IOException {
        try (Pipe output = Pipe.create();
                Pipe errors = Pipe.create();
                Fd nothing = FileBytes.open("/dev/null", FileBytes.O_RDONLY)) {
            ProgramRun run =
                    ProgramRun.start(
                            command.stream()
                                    .map(word -> word.getBytes(StandardCharsets.UTF_8))
                                    .toList(),
                            new ProgramSetting(
                                    environment, nothing, output.writer(), errors.writer()),
                            machine.files().keptIn(folder).build(),
                            CallTrace.none(),
                            machine.loop());
            return new ServedProgram(run, output.stream(), errors.stream());
        } catch (ErrnoException e) {
            throw new IOException(command.getFirst() + " cannot be served: " + e.inWords(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("while " + command.getFirst() + " was started");
        }
    }

    private void await() {
        try {
            code =
                    switch (run.await()) {
                        case ChildProcess.End.Exit(int status) -> status;
                        case ChildProcess.End.Signal(int number) -> SIGNAL_CODE + number;
                    };
        } catch (InterruptedException | IllegalStateException e) {
            code = SIGNAL_CODE;
            System.err.println("ioasis: " + e.getMessage());
        } finally {
            ended.countDown();
        }
    }

    @Override
    public InputStream getInputStream() {
        return output;
    }

    @Override
    public InputStream getErrorStream() {
        return errors;
    }

    /** What nobody reads. */
    @Override
    public OutputStream getOutputStream() {
        return OutputStream.nullOutputStream();
    }

    @Override
    public int waitFor() throws InterruptedException {
        ended.await();
        return code;
    }

    @Override
    public int exitValue() {
        if (ended.getCount() > 0) {
            throw new IllegalThreadStateException("process " + pid() + " has not ended");
        }
        return code;
    }

    @Override
    public void destroy() {
        run.signal(SIGTERM);
    }

    @Override
    public Process destroyForcibly() {
        run.signal(SIGKILL);
        return this;
    }

    @Override
    public long pid() {
        return run.pid();
    }

    @Override
    public ProcessHandle toHandle() {
        return handle;
    }
}
