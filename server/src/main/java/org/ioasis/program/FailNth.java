// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import static java.nio.charset.StandardCharsets.US_ASCII;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.Map;
import org.ioasis.iommufd.FailureInjector;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.sys.Fd;
import org.ioasis.sys.FileBytes;
import org.jspecify.annotations.Nullable;

/**
 * Failure that a program asks for, by the file that the kernel has for each task
 * (Documentation/fault-injection): {@code /proc/self/task/N/fail-nth}. The file that the program
 * gets is plain memory; it is read before each call of that task and written after it. Supervisor's
 * thread.
 */
final class FailNth {
    private static final int NUMBER_MAX = 16;

    private final Map<Integer, TaskFile> byTask = new HashMap<>();
    private final MemorySegment text = Arena.ofAuto().allocate(NUMBER_MAX);

    /** Of all tasks that have asked for nothing; never armed. */
    private final FailureInjector none = new FailureInjector();

    /** What counts the points of failure that a task passes. */
    FailureInjector of(int task) {
        TaskFile file = byTask.get(task);
        return file == null ? none : file.injector;
    }

    /** A call of the task begins: what the program has written since counts. */
    void begins(int task) {
        TaskFile file = byTask.get(task);
        if (file != null) {
            file.injector.arm(file.number());
        }
    }

    /** The call has ended: the file shows how many points are left. */
    void ends(int task) {
        TaskFile file = byTask.get(task);
        if (file != null) {
            file.show(file.injector.remaining());
        }
    }

    /** A new file for a task. */
    OpenFile file(int task) {
        return new TaskFile(task);
    }

    /** What a file that was handed out is filled by. */
    void handedOut(OpenFile file, StandIns standIns) {
        Fd bytes = standIns.keptOf(file);
        if (bytes != null && file instanceof TaskFile made) {
            made.bytes = bytes;
            byTask.put(made.task, made);
        }
    }

    private final class TaskFile implements OpenFile {
        private final int task;
        private final FailureInjector injector = new FailureInjector();

        /** The stand-ins' own descriptor, open as long as the program's. */
        private @Nullable Fd bytes;

        TaskFile(int task) {
            this.task = task;
        }

        @Override
        public Form form() {
            return Form.CONTENTS;
        }

        @Override
        public String name() {
            return "fail-nth";
        }

        /** What the program has written; 0 also for what is no number. */
        private int number() {
            Fd file = bytes;
            long length = file == null ? 0 : FileBytes.read(file, 0, text, 0, NUMBER_MAX);
            int number = 0;
            for (long i = 0; i < length; i++) {
                int digit = text.get(ValueLayout.JAVA_BYTE, i) - '0';
                if (digit < 0 || digit > 9 || number > Integer.MAX_VALUE / 10 - 1) {
                    break;
                }
                number = number * 10 + digit;
            }
            return number;
        }

        private void show(int number) {
            Fd file = bytes;
            if (file != null) {
                byte[] line = (number + "\n").getBytes(US_ASCII);
                FileBytes.replace(file, line);
            }
        }

        @Override
        public void release() {
            bytes = null;
            byTask.remove(task, this);
        }
    }
}
