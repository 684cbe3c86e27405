// SPDX-License-Identifier: Apache-2.0
package org.ioasis.program;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.ioasis.iommufd.Caller;
import org.ioasis.iommufd.IommufdException;
import org.ioasis.iommufd.OpenFile;
import org.jspecify.annotations.Nullable;

/**
 * What a program finds at which paths, beside what the kernel has: devices, and folders with files
 * and links in the place of sysfs. Immutable; any thread.
 */
public final class ProgramFiles {
    /** Misc devices of the kernel. */
    private static final int MISC_MAJOR = 10;

    /** In the range that the kernel gives out to misc devices as they come. */
    private static final int IOMMU_MINOR = 124;

    /** What happens when a device is opened. */
    @FunctionalInterface
    public interface Opener {
        OpenFile open(Caller caller) throws IommufdException;
    }

    /** A device: its numbers, and what happens when it is opened. */
    record Device(PathStatus status, Opener opener) {}

    private final Map<String, Device> devices;
    private final List<String> folders;
    private final Map<String, String> texts;
    private final Map<String, String> links;
    private final @Nullable Path place;

    private ProgramFiles(Builder from) {
        devices = Map.copyOf(from.devices);
        folders = List.copyOf(from.folders);
        texts = Map.copyOf(from.texts);
        links = Map.copyOf(from.links);
        place = from.place;
    }

    Map<String, Device> devices() {
        return devices;
    }

    /** What lies below one of these is ours. */
    List<String> folders() {
        return folders;
    }

    /** Contents by path. */
    Map<String, String> texts() {
        return texts;
    }

    /** Targets by path. */
    Map<String, String> links() {
        return links;
    }

    /** Where folders, files and links really are; null: in a temporary folder of their own. */
    @Nullable Path place() {
        return place;
    }

    public static Builder builder() {
        return new Builder();
    }

    /** One by one. One thread. */
    public static final class Builder {
        private final Map<String, Device> devices = new LinkedHashMap<>();
        private final List<String> folders = new ArrayList<>();
        private final Map<String, String> texts = new LinkedHashMap<>();
        private final Map<String, String> links = new LinkedHashMap<>();
        private @Nullable Path place;

        private Builder() {}

        /** {@code /dev/iommu}. */
        public Builder iommu(Opener opener) {
            return device("/dev/iommu", MISC_MAJOR, IOMMU_MINOR, opener);
        }

        /** A character device at an absolute path. */
        public Builder device(String path, int major, int minor, Opener opener) {
            devices.put(path, new Device(PathStatus.device(major, minor), opener));
            return this;
        }

        /** A folder that is ours, with all that is below it: the kernel's is not seen. */
        public Builder folder(String path) {
            folders.add(path);
            return this;
        }

        /** A file to read, below a folder of ours. */
        public Builder text(String path, String content) {
            texts.put(path, content);
            return this;
        }

        /**
         * A link, below a folder of ours.
         *
         * @param target relative, so that it means the same wherever the files are kept
         */
        public Builder link(String path, String target) {
            links.put(path, target);
            return this;
        }

        /**
         * Where folders, files and links really are while the program runs: for who has a place
         * that goes in any case, also when all of this process ends at once.
         *
         * @param folder not there yet
         */
        public Builder keptIn(Path folder) {
            place = folder;
            return this;
        }

        public ProgramFiles build() {
            return new ProgramFiles(this);
        }
    }
}
