// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.ioasis.iommufd.LockedMemory;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.ioasis.sys.FileBytes;
import org.jspecify.annotations.Nullable;

/**
 * What a kernel that is built for tests has beside its devices, and tests of the kernel look for:
 * the folder of fault injection below debugfs, each task's fail-nth, and a process's account of
 * pages that are held for it. Supervisor's thread.
 */
final class MockFiles extends Devices {
    private static final String DEBUGFS = "/sys/kernel/debug";

    private static final Pattern FAIL_NTH =
            Pattern.compile("/proc/(?:self|[0-9]{1,9})/task/([0-9]{1,9})/fail-nth");
    private static final Pattern STATUS = Pattern.compile("/proc/(self|[0-9]{1,9})/status");

    /** Fault injection's own settings: nothing reads what a program writes there. */
    private static final List<String> SETTINGS =
            List.of(
                    "failslab/ignore-gfp-wait",
                    "failslab/verbose",
                    "fail_page_alloc/ignore-gfp-wait",
                    "fail_page_alloc/ignore-gfp-highmem",
                    "fail_page_alloc/verbose",
                    "fail_iommufd/verbose");

    private static final long PAGE_KIB = 4;

    private @Nullable Path debugfs;

    MockFiles(ProgramFiles files) throws IOException {
        super(files);
    }

    @Override
    boolean knows(String path) {
        return super.knows(path)
                || path.equals(DEBUGFS)
                || (path.startsWith("/proc/")
                        && (FAIL_NTH.matcher(path).matches() || STATUS.matcher(path).matches()));
    }

    @Override
    boolean isForTests() {
        return true;
    }

    @Override
    boolean isFolder(String path) {
        return path.equals(DEBUGFS) || super.isFolder(path);
    }

    @Override
    int open(TaskCaller caller, String path, boolean isCloseOnExec) {
        if (super.knows(path)) {
            return super.open(caller, path, isCloseOnExec);
        }
        if (path.equals(DEBUGFS)) {
            return openFolder(caller, isCloseOnExec);
        }
        Matcher failNth = FAIL_NTH.matcher(path);
        if (failNth.matches()) {
            return caller.openFailNth(Integer.parseInt(failNth.group(1)), isCloseOnExec);
        }
        Matcher status = STATUS.matcher(path);
        return status.matches()
                ? openStatus(caller, status.group(1), isCloseOnExec)
                : KERNEL_HAS_IT;
    }

    @Override
    void close() {
        super.close();
        Path made = debugfs;
        debugfs = null;
        if (made != null) {
            PathTree.remove(made);
        }
    }

    private int openFolder(TaskCaller caller, boolean isCloseOnExec) {
        try (Fd folder =
                FileBytes.open(debugfs().toString(), FileBytes.O_RDONLY | FileBytes.O_DIRECTORY)) {
            return caller.giveAsAnswer(folder, isCloseOnExec);
        } catch (ErrnoException e) {
            return -e.errno();
        } catch (UncheckedIOException e) {
            return -Errno.ENOSPC;
        }
    }

    private Path debugfs() {
        Path known = debugfs;
        if (known != null) {
            return known;
        }
        try {
            Path made = Files.createTempDirectory("ioasis-debugfs");
            debugfs = made;
            for (String setting : SETTINGS) {
                Path file = made.resolve(setting);
                Files.createDirectories(file.getParent());
                Files.writeString(file, "N\n");
            }
            return made;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * The kernel's own text with our accounts in it; of processes that we know none for, its own.
     */
    private static int openStatus(TaskCaller caller, String process, boolean isCloseOnExec) {
        int number = process.equals("self") ? caller.thread() : Integer.parseInt(process);
        LockedMemory account = caller.accountOf(number);
        if (account == null) {
            return KERNEL_HAS_IT;
        }
        StringBuilder text = new StringBuilder();
        try (ProcessLines lines = ProcessLines.open(number, "status")) {
            for (String line = lines.next(); line != null; line = lines.next()) {
                if (line.startsWith("VmLck:")) {
                    line = line("VmLck:", account.locked());
                } else if (line.startsWith("VmPin:")) {
                    line = line("VmPin:", account.pinned());
                }
                text.append(line).append('\n');
            }
        } catch (IOException e) {
            return KERNEL_HAS_IT;
        }
        return caller.installContents(new Text(), text.toString(), isCloseOnExec);
    }

    private static String line(String name, long pages) {
        return "%s\t%8d kB".formatted(name, pages * PAGE_KIB);
    }

    /** A file that is text and nothing else. */
    private record Text() implements OpenFile {
        @Override
        public Form form() {
            return Form.CONTENTS;
        }

        @Override
        public String name() {
            return "status";
        }

        @Override
        public void release() {}
    }
}
