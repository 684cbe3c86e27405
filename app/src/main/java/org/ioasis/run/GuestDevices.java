// SPDX-License-Identifier: Apache-2.0
package org.ioasis.run;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.ioasis.iommu.EndpointProperties;
import org.ioasis.kind.blk.DiskOptions;
import org.ioasis.kind.net.Backend;
import org.ioasis.kind.net.NicOptions;
import org.ioasis.machine.DeviceOptions;
import org.ioasis.machine.DevicePlace;
import org.ioasis.topology.Viot;
import org.ioasis.virtio.blk.BlkSettings;
import org.ioasis.virtio.net.NetSettings;
import org.ioasis.vm.GuestTask;
import org.ioasis.vm.SeededDisk;
import org.ioasis.vm.Workspace;

/**
 * What a run's guest has behind the IOMMUs: three disks, or a disk and a network, and the user's
 * own disks; where each is, and the files that belong to them. Any thread; no state.
 */
public final class GuestDevices {
    /** What reports call the network device. */
    static final String NET = "net";

    /** Of what is plugged in behind the root port. */
    static final int PLUGGED_BDF = Viot.bdf(1, 0, 0);

    // Slots of the root bus.
    private static final int SEED_SLOT = 2;
    private static final int SECOND_SLOT = 3;
    private static final int RESULT_SLOT = 4;
    private static final int FIRST_OWN_SLOT = 5;

    /** As many disks of the user's as there are slots between our devices and the second IOMMU. */
    public static final int OWN_DISK_LIMIT = GuestCommand.SECOND_IOMMU_SLOT - FIRST_OWN_SLOT;

    private static final long NET_MAC = 0x5254_0000_0702L;

    /** The file system needs room for its own tables beside the file. */
    private static final long FS_OVERHEAD = 64L << 20;

    /** Initramfs, tables and the like. */
    static final long OTHER_FILES = 64L << 20;

    private static final long MIB = 1L << 20;

    /** Where a device is: its function's number is its endpoint. */
    record Place(int iommu, DeviceOptions<?> device) {
        int bdf() {
            return device.place().endpoint();
        }

        Path socket() {
            return device.place().socket();
        }
    }

    private GuestDevices() {}

    private static Path seedFile(Workspace workspace) {
        return workspace.file("seed.img");
    }

    private static Path fsFile(Workspace workspace) {
        return workspace.file("fs.img");
    }

    static Path resultFile(Workspace workspace) {
        return workspace.file("result.img");
    }

    /** Where the host's end of the guest's network listens. */
    static Path netSocket(Workspace workspace) {
        return workspace.file("net-peer.sock");
    }

    /** What the disks' files take at most, with room for what else a run writes. */
    static long fileBytes(GuestTask task, long seedBytes) {
        return OTHER_FILES
                + (task instanceof GuestTask.Net ? seedBytes : 3 * seedBytes + FS_OVERHEAD);
    }

    /**
     * Makes the disks' files: the seeded one, and those that the guest writes to.
     *
     * @return SHA-256 of the seeded one, in hexadecimal
     */
    static String makeDisks(
            GuestTask task, Workspace workspace, SeededDisk seeded, Progress progress)
            throws IOException {
        progress.say(
                "seeding a disk of %d MiB (seed 0x%016x)"
                        .formatted(seeded.bytes() / MIB, seeded.seed()));
        String hash = seeded.write(seedFile(workspace));
        if (!(task instanceof GuestTask.Net)) {
            Path _ = workspace.emptyDisk(name(fsFile(workspace)), seeded.bytes() + FS_OVERHEAD);
            Path _ = workspace.emptyDisk(name(resultFile(workspace)), seeded.bytes());
        }
        return hash;
    }

    private static String name(Path file) {
        return String.valueOf(file.getFileName());
    }

    /**
     * All devices, in the order of their functions but for one that is plugged in.
     *
     * @param properties of each endpoint
     */
    static List<Place> places(
            RunOptions options,
            GuestTask task,
            Workspace workspace,
            EndpointProperties properties) {
        List<Place> places = new ArrayList<>();
        places.add(
                disk(
                        workspace,
                        GuestTask.SEED_SERIAL,
                        "seed.sock",
                        seedFile(workspace),
                        false,
                        Viot.bdf(0, SEED_SLOT, 0),
                        properties));
        int last = options.iommus() - 1;
        if (task instanceof GuestTask.Net) {
            places.add(new Place(last, net(workspace, properties)));
        } else {
            Place fs =
                    disk(
                            workspace,
                            GuestTask.FS_SERIAL,
                            "fs.sock",
                            fsFile(workspace),
                            true,
                            Viot.bdf(0, SECOND_SLOT, 0),
                            properties);
            places.add(new Place(last, fs.device()));
            places.add(
                    disk(
                            workspace,
                            GuestTask.RESULT_SERIAL,
                            "result.sock",
                            resultFile(workspace),
                            true,
                            task.hotplugs() ? PLUGGED_BDF : Viot.bdf(0, RESULT_SLOT, 0),
                            properties));
        }
        for (int i = 0; i < options.disks().size(); i++) {
            Path file = options.disks().get(i);
            places.add(
                    disk(
                            workspace,
                            GuestTask.OWN_SERIAL + (i + 1),
                            "own" + (i + 1) + ".sock",
                            file,
                            Files.isWritable(file),
                            Viot.bdf(0, FIRST_OWN_SLOT + i, 0),
                            properties));
        }
        return places;
    }

    private static Place disk(
            Workspace workspace,
            String name,
            String socket,
            Path file,
            boolean isWritable,
            int bdf,
            EndpointProperties properties) {
        return new Place(
                0,
                DiskOptions.builder(
                                new DevicePlace(name, workspace.file(socket), bdf, properties),
                                file)
                        .writable(isWritable)
                        .settings(BlkSettings.builder().serial(name).build())
                        .build());
    }

    private static NicOptions net(Workspace workspace, EndpointProperties properties) {
        return new NicOptions(
                new DevicePlace(
                        NET, workspace.file("net.sock"), Viot.bdf(0, SECOND_SLOT, 0), properties),
                new Backend.Stream(netSocket(workspace)),
                new NetSettings(NET_MAC, GuestTask.NET_MTU));
    }
}
