// SPDX-License-Identifier: Apache-2.0
package org.ioasis.vm;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.ioasis.guestkit.Qemu;
import org.ioasis.topology.QemuArguments;

/**
 * The command line of one QEMU: a machine with shared memory, a serial console on standard output,
 * ACPI tables, and PCI functions that are served over vfio-user. Any thread.
 *
 * @param memoryMiB the guest's memory
 * @param processors number of virtual processors
 * @param machine its type, with what belongs to that
 * @param commandLine of the kernel
 * @param acpiTables files with one complete table each, such as the VIOT
 * @param functions what is served by us; QEMU connects to each socket while it starts
 * @param isRebooting the guest may reboot; else its reboot ends QEMU
 * @param isFirmwareKeptOff the firmware does not touch the disks
 * @param secondSerial socket that the second serial port connects to
 * @param control socket on which QEMU waits for commands (QMP)
 * @param rootPort device number of a PCI Express root port with nothing behind it; 0 for none
 * @param more further words, such as those for devices of QEMU's own
 */
public record QemuCommand(
        Qemu qemu,
        Accel accel,
        int memoryMiB,
        int processors,
        Machine machine,
        Path kernel,
        Path initramfs,
        String commandLine,
        List<Path> acpiTables,
        List<QemuArguments.Function> functions,
        boolean isRebooting,
        boolean isFirmwareKeptOff,
        Optional<Path> secondSerial,
        Optional<Path> control,
        int rootPort,
        List<String> more) {

    /**
     * The best processor that TCG can play, without three features that make it slower. la57: one
     * more level in each page walk. erms and fsrm: Linux copies memory by byte-wise string
     * instructions then, and TCG executes them byte by byte (measured: 256 MiB through a pipe take
     * 3.2 s with them and 1.3 s without).
     */
    private static final String TCG_PROCESSOR = "max,la57=off,erms=off,fsrm=off";

    /** The root port's name, for whoever plugs something in. */
    static final String ROOT_PORT = "rp0";

    /**
     * Which machine.
     *
     * @param type the value of {@code -machine}
     * @param tcgProcessor the value of {@code -cpu} where TCG plays it
     */
    public record Machine(String type, String tcgProcessor) {
        /** What all but comparisons of IOMMUs run on. */
        public static final Machine Q35 = new Machine("q35", TCG_PROCESSOR);
    }

    public QemuCommand {
        acpiTables = List.copyOf(acpiTables);
        functions = List.copyOf(functions);
        more = List.copyOf(more);
        if (memoryMiB <= 0 || processors <= 0) {
            throw new IllegalArgumentException("memory and processors must be positive");
        }
    }

    /**
     * A command piece by piece, beginning with one processor, 512 MiB, and nothing that only some
     * runs need.
     */
    public static Builder builder(Qemu qemu, Accel accel, Path kernel, Path initramfs) {
        return new Builder(qemu, accel, kernel, initramfs);
    }

    /** A command piece by piece. One thread. */
    public static final class Builder {
        private final Qemu qemu;
        private final Accel accel;
        private final Path initramfs;
        private Path kernel;
        private int memoryMiB = 512;
        private int processors = 1;
        private Machine machine = Machine.Q35;
        private String commandLine = "";
        private List<Path> acpiTables = List.of();
        private List<QemuArguments.Function> functions = List.of();
        private boolean isRebooting;
        private boolean isFirmwareKeptOff;
        private Optional<Path> secondSerial = Optional.empty();
        private Optional<Path> control = Optional.empty();
        private int rootPort;
        private List<String> more = List.of();

        private Builder(Qemu qemu, Accel accel, Path kernel, Path initramfs) {
            this.qemu = qemu;
            this.accel = accel;
            this.kernel = kernel;
            this.initramfs = initramfs;
        }

        /** In the place of the one that the builder began with: a program of the firmware's. */
        public Builder kernel(Path value) {
            kernel = value;
            return this;
        }

        public Builder memoryMiB(int value) {
            memoryMiB = value;
            return this;
        }

        public Builder processors(int value) {
            processors = value;
            return this;
        }

        public Builder machine(Machine value) {
            machine = value;
            return this;
        }

        public Builder commandLine(String value) {
            commandLine = value;
            return this;
        }

        public Builder acpiTables(List<Path> value) {
            acpiTables = value;
            return this;
        }

        public Builder functions(List<QemuArguments.Function> value) {
            functions = value;
            return this;
        }

        public Builder rebooting(boolean value) {
            isRebooting = value;
            return this;
        }

        public Builder firmwareKeptOff(boolean value) {
            isFirmwareKeptOff = value;
            return this;
        }

        public Builder secondSerial(Path value) {
            secondSerial = Optional.of(value);
            return this;
        }

        public Builder control(Path value) {
            control = Optional.of(value);
            return this;
        }

        public Builder rootPort(int device) {
            rootPort = device;
            return this;
        }

        public Builder more(List<String> words) {
            more = words;
            return this;
        }

        public QemuCommand build() {
            return new QemuCommand(
                    qemu,
                    accel,
                    memoryMiB,
                    processors,
                    machine,
                    kernel,
                    initramfs,
                    commandLine,
                    acpiTables,
                    functions,
                    isRebooting,
                    isFirmwareKeptOff,
                    secondSerial,
                    control,
                    rootPort,
                    more);
        }
    }

    /** The words of the command. */
    public List<String> words() {
        List<String> words = new ArrayList<>(qemu.command());
        add(words, "-no-user-config");
        add(words, "-nodefaults");
        add(words, "-display", "none");
        add(words, "-monitor", "none");
        add(words, "-serial", "stdio");
        if (secondSerial.isPresent()) {
            String socket = doubledCommas(secondSerial.get());
            add(words, "-chardev", "socket,id=output,path=" + socket, "-serial", "chardev:output");
        }
        if (control.isPresent()) {
            String socket = doubledCommas(control.get());
            add(words, "-qmp", "unix:" + socket + ",server=on,wait=off");
        }
        if (!isRebooting) {
            add(words, "-no-reboot");
        }
        if (isFirmwareKeptOff) {
            // SeaBIOS drives only disks that are named for booting then, and none is.
            add(words, "-boot", "strict=on");
        }
        add(words, "-machine", machine.type() + ",memory-backend=mem");
        // Shared by descriptor: a vfio-user server reads and writes it directly.
        add(words, "-object", "memory-backend-memfd,id=mem,size=" + memoryMiB + "M,share=on");
        add(words, "-m", memoryMiB + "M");
        add(words, "-smp", Integer.toString(processors));
        switch (accel) {
            case KVM -> {
                add(words, "-accel", "kvm");
                add(words, "-cpu", "host");
            }
            case TCG -> {
                add(words, "-accel", "tcg,thread=multi");
                add(words, "-cpu", machine.tcgProcessor());
            }
        }
        add(words, "-kernel", kernel.toString());
        add(words, "-initrd", initramfs.toString());
        add(words, "-append", commandLine);
        for (Path table : acpiTables) {
            add(words, "-acpitable", "file=" + doubledCommas(table));
        }
        if (rootPort != 0) {
            String address = Integer.toHexString(rootPort);
            add(words, "-device", "pcie-root-port,id=" + ROOT_PORT + ",chassis=1,addr=" + address);
        }
        for (QemuArguments.Function function : functions) {
            add(words, "-device", function.json());
        }
        words.addAll(more);
        return words;
    }

    /** In a list of options a comma is written twice. */
    private static String doubledCommas(Path path) {
        return path.toString().replace(",", ",,");
    }

    private static void add(List<String> words, String... more) {
        words.addAll(List.of(more));
    }

    /** One command for a POSIX shell that starts the same. */
    public String printable() {
        StringBuilder text = new StringBuilder();
        for (Map.Entry<String, String> variable : new TreeMap<>(qemu.environment()).entrySet()) {
            text.append(variable.getKey())
                    .append('=')
                    .append(QemuArguments.quotedShell(variable.getValue()))
                    .append(' ');
        }
        List<String> words = words();
        for (int i = 0; i < words.size(); i++) {
            String word = words.get(i);
            if (i > 0) {
                // One option with its value per line.
                text.append(word.startsWith("-") ? " \\\n  " : " ");
            }
            text.append(QemuArguments.quotedShell(word));
        }
        return text.toString();
    }
}
