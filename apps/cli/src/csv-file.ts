/** CSV as RFC 4180 has it, a row at a time. */
import { TextFile, type WriteFlag } from './text-file.js';

export type CsvCell = string | number | null | undefined;

export class CsvFile {
  private written = 0;
  private readonly file: TextFile;
  private readonly head: string;

  constructor(
    readonly path: string,
    columns: readonly string[],
    flags: WriteFlag = 'w',
  ) {
    this.file = new TextFile(path, flags);
    this.head = csvRow(columns);
  }

  /** Without the columns' names. */
  get rows(): number {
    return this.written;
  }

  async write(cells: readonly CsvCell[]): Promise<void> {
    const row = csvRow(cells);
    await this.file.write(this.written++ === 0 ? this.head + row : row);
  }

  async close(): Promise<void> {
    if (this.written === 0) await this.file.write(this.head);
    await this.file.close();
  }
}

function csvRow(cells: readonly CsvCell[]): string {
  return `${cells.map(cellText).join(',')}\r\n`;
}

function cellText(cell: CsvCell): string {
  const text = String(cell ?? '');
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
