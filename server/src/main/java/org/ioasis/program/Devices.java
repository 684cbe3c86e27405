// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.io.IOException;
import java.util.Map;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.sys.Errno;
import org.ioasis.sys.ErrnoException;
import org.ioasis.sys.Fd;
import org.jspecify.annotations.Nullable;

/** The paths at which programs find something of ours. Supervisor's thread. */
class Devices {
    /** What {@link #open} returns when the kernel has to look. */
    static final int KERNEL_HAS_IT = Integer.MIN_VALUE;

    /**
     * The only last part of a relative path that its folder is looked at for, and is ours then;
     * devices of VFIO are found by absolute paths.
     */
    static final String LAST_PART = "iommu";

    private final Map<String, ProgramFiles.Device> byPath;
    private final PathTree tree;

    /**
     * @throws IOException there is no room for files of ours in the folder of temporary files
     */
    Devices(ProgramFiles files) throws IOException {
        byPath = files.devices();
        tree = new PathTree(files);
    }

    /** Whether there is something of ours at an absolute path. */
    boolean knows(String path) {
        return isDevice(path) || tree.isOurs(path);
    }

    /** Whether it is a folder. */
    boolean isFolder(String path) {
        PathStatus status = status(path, true);
        return status != null && (status.mode() & PathStatus.S_IFMT) == PathStatus.S_IFDIR;
    }

    /** Whether it is a device. */
    final boolean isDevice(String path) {
        return byPath.containsKey(path);
    }

    /** What is there, or {@link PathStatus#NOTHING}; null: the kernel has to look. */
    final @Nullable PathStatus status(String path, boolean followsLinks) {
        ProgramFiles.Device device = byPath.get(path);
        if (device != null || !tree.isOurs(path)) {
            return device == null ? null : device.status();
        }
        PathStatus found = tree.status(path, followsLinks);
        return found == null ? PathStatus.NOTHING : found;
    }

    /** Of an open device, by its name. */
    final PathStatus statusOfOpen(String name) {
        ProgramFiles.Device device = byPath.get(name);
        return device == null ? PathStatus.device(0, 0) : device.status();
    }

    /** The target of a link; null if there is none. */
    final byte @Nullable [] linkAt(String path) {
        return isDevice(path) ? null : tree.linkAt(path);
    }

    /** Whether programs are tests of the kernel, which expect more of it than others do. */
    boolean isForTests() {
        return false;
    }

    /** Nobody opens anything any more. */
    void close() {
        tree.close();
    }

    /** Opens; the descriptor is the answer to the call, or the result is a negative errno. */
    int open(TaskCaller caller, String path, boolean isCloseOnExec) {
        ProgramFiles.Device device = byPath.get(path);
        try {
            if (device != null) {
                return caller.installAsAnswer(device.opener().open(caller), isCloseOnExec);
            }
            try (Fd file = tree.open(path)) {
                return file == null ? -Errno.ENOENT : caller.giveAsAnswer(file, isCloseOnExec);
            }
        } catch (IommufdException e) {
            return -e.errno().number();
        } catch (ErrnoException e) {
            return -e.errno();
        }
    }
}
