// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.util.Map;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.OpenFile;
import org.ioasis.sys.Errno;

/** The paths at which programs find something of ours. Supervisor's thread. */
class Devices {
    /** What {@link #open} returns when the kernel has to look. */
    static final int KERNEL_HAS_IT = Integer.MIN_VALUE;

    /** The last part of a path of a device, so that others need no look at their folder. */
    static final String LAST_PART = "iommu";

    /** What happens when a device is opened. */
    interface Opener {
        OpenFile open(Caller caller) throws IommufdException;
    }

    private final Map<String, Opener> byPath;

    Devices(Map<String, Opener> byPath) {
        this.byPath = Map.copyOf(byPath);
    }

    /** Whether there is something of ours at an absolute path. */
    boolean knows(String path) {
        return isDevice(path);
    }

    /** Whether it is a folder. */
    boolean isFolder(String path) {
        return false;
    }

    /** Whether it is a device. */
    final boolean isDevice(String path) {
        return byPath.containsKey(path);
    }

    /** Whether programs are tests of the kernel, which expect more of it than others do. */
    boolean isForTests() {
        return false;
    }

    /** Nobody opens anything any more. */
    void close() {}

    /** Opens; the descriptor is the answer to the call, or the result is a negative errno. */
    int open(TaskCaller caller, String path, boolean isCloseOnExec) {
        Opener device = byPath.get(path);
        if (device == null) {
            return -Errno.ENOENT;
        }
        try {
            return caller.installAsAnswer(device.open(caller), isCloseOnExec);
        } catch (IommufdException e) {
            return -e.errno().number();
        }
    }
}
